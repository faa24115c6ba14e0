"""The base class of results that can be displayed: as figures, as a page, and in a notebook.

`pages` imports the results, so a result names its module of `pages`, which is imported only on display. This is the
only upward import, an exception in the import rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


class Displayed:
    """A result that has a page; `PAGE` is its module, with a function `page`."""

    PAGE: ClassVar[str]

    def figures(self) -> dict[str, Figure]:
        """The figures of the report, by name, as plotly's own.

        Raises ScenarioError if runs have no records, or plotly is not installed.
        """
        return {plot.name: plot.figure() for plot in page_of(self).page(self).plots}

    def write_report(self, path: str | Path) -> None:
        """Write the report as one HTML page, atomically.

        Raises ScenarioError if runs have no records, the path cannot be written, or plotly is not installed.
        """
        from ipa.studies import pages

        pages.write(page_of(self).page(self), Path(path))

    def _repr_html_(self) -> str:
        """The result in a notebook: its lines of text, and below them its table where it has one."""
        shown = f"<pre>{escape(repr(self))}</pre>"
        for table in (getattr(self, name, None) for name in ("summary", "table")):
            if draw := getattr(table, "to_html", None):
                return shown + str(draw())
        return shown


def page_of(result: Displayed) -> Any:
    """The module that draws a result."""
    from ipa.studies import pages

    return getattr(pages, result.PAGE)


def check_plotly(what: str, needed: Sequence[str] = ("plotly", "jinja2")) -> None:
    """Raise ScenarioError if a package `needed` to draw `what` is not installed: plotly and, for a page, jinja2."""
    for name in needed:
        if find_spec(name) is None:
            raise ScenarioError(f"{what} needs {name}, which is not installed: pip install '.[report]' in the checkout")
