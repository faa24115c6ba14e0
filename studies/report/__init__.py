"""Reports: finished runs as one HTML page that needs nothing else, drawn by plotly in the browser.

groups     the runs of a report by policy, with its colour
series     what the plots draw, as plain arrays · plots: parts that they share (axes, panels, colours)
plane, timelines, bands: the plots, as plotly's plain data · names: where the plane's labels go
headline   the table of means and the sentences under it · page: all of it on one page, `render` and `write`;
           `document` and `save` for other pages of ours
"""

from ipa.studies.report.page import document, render, save, write

__all__ = ["document", "render", "save", "write"]
