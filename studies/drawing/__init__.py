"""The kit that every HTML page is drawn with, and what notebooks show.

document    the document itself, and its parts: sections, lists of facts
table       the one way to an HTML table
element     a plot's element in a page: its name in words, its data
narrow      the layout of a plot on a narrow screen
plots       a plot as plain data for plotly: axes, layout, lines, notes
figures     plots as plotly's own figures
sketches    small pictures and tables, for how a notebook shows a result
grid        panels side by side in rows of two
clock       time in plots: moments, axes in minutes, hours or days
courses     a figure over time: a line of steps, or an envelope where there are too many
panels      panels one above the other over the same axis
series      what the plots show, computed from a run's tables
bins        the bins of time that statistics are taken in
images      plots as image files
names       where the names of points go
colours     the colours of every page
wording     figures as people read them
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
