"""A page as values: sections of figures, tables and text, which a page, notebook or server can show; and its HTML.

Texts are plain; the template `page.html`, the only place with HTML, escapes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ipa.studies.displayed import check_plotly
from ipa.studies.pages.colours import DARK, in_css, style_of_themes
from ipa.studies.pages.plots import CONFIG, TEMPLATE, Plot
from ipa.studies.runs.results import write_text

if TYPE_CHECKING:
    from jinja2 import Template


class Strong(NamedTuple):
    """Bold words in a text, in a colour if given."""

    text: str
    colour: str = ""


class Swatch(NamedTuple):
    """A dot in a colour, before the name that is drawn in it."""

    colour: str
    text: str = ""


Text = str | Sequence[str | Strong | Swatch]
"""A text, or its parts."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a text, another beneath it in small letters, and classes of the style sheet."""

    text: Text
    small: str = ""
    css: str = ""
    is_heading: bool = False


Cells = Sequence[str | Cell]
"""A row, or the headings of columns."""


@dataclass(frozen=True)
class Table:
    """A table with headings, which readers can sort, filter and download.

    `name` describes it to screen readers, and names the downloaded file.
    """

    name: str
    columns: Cells
    rows: Sequence[Cells]
    css: str = ""


@dataclass(frozen=True)
class Items:
    """A list of texts; `css`: `key` for the key to the marks of figures."""

    items: Sequence[Text]
    css: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A text; `css`: `muted` for help with reading the rest."""

    text: Text
    css: str = ""


@dataclass(frozen=True)
class Choice:
    """A reader's choice for sections that name it in `shown_for`: options and titles; the first is preselected."""

    key: str
    title: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Facts:
    """Names with a text each."""

    lines: Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """Figures side by side where there is room, without their headings."""

    plots: Sequence[Plot]


@dataclass(frozen=True)
class Section:
    """A part of a page: its title, how to read it, and its content from top to bottom.

    `shown_for`: a choice of the reader (see `Choice` and `Page.choices`), and the only option for which it is shown.
    """

    title: str
    parts: Sequence[Part] = ()
    note: str = ""
    css: str = ""
    ident: str = ""
    is_folded: bool = False
    shown_for: Mapping[str, str] = field(default_factory=dict)


Part = Section | Plot | Table | Items | Paragraph | Choice | Facts | Pair


@dataclass(frozen=True)
class Page:
    """A page: `facts` stand folded at its end; `subtitle` has a line for each text.

    `choices`: choice of the reader for the whole page -> its options and their titles; such a page begins with links to
    its sections.
    """

    title: str
    subtitle: Sequence[str]
    sections: Sequence[Part]
    facts: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, str]] | None = None

    @property
    def parts(self) -> Sequence[Part]:
        """The sections, and the facts as the last."""
        folded = [Section("What was run", [Facts(self.facts)], is_folded=True)] if self.facts else []
        return [*self.sections, *folded]

    @property
    def plots(self) -> list[Plot]:
        """The figures of all sections, in their order."""
        return list(_plots(self.sections))


def _plots(parts: Sequence[Part]) -> Iterator[Plot]:
    for part in parts:
        if isinstance(part, Plot):
            yield part
        elif isinstance(part, Section | Pair):
            yield from _plots(part.parts if isinstance(part, Section) else part.plots)


def html_of(page: Page) -> str:
    """The page as one HTML document, plotly.js included; the same page gives the same bytes.

    Raises ScenarioError if plotly or jinja2 is not installed.
    """
    check_plotly("a report")
    from plotly.offline import get_plotlyjs

    return _template().render(
        page=page,
        plotly=get_plotlyjs(),
        style=style(),
        script=script(),
    )


def style() -> str:
    """The style sheet of all pages: the colours of both themes, and the tools of tables."""
    return style_of_themes() + _own("tables.css")


def script() -> str:
    """The script of all pages, which draws figures and lets tables be sorted."""
    drawing = json.dumps({"colours": DARK, "config": CONFIG, "template": TEMPLATE}, separators=(",", ":"))
    return f"const drawing = {drawing};\n" + "".join(map(_own, ("linked.js", "figures.js", "tables.js")))


def write(page: Page, path: Path) -> None:
    """Write a page to a file, atomically. Raises as `html_of`, and ScenarioError if the path cannot be written."""
    write_text(html_of(page), path)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ipa.studies.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {"kind": lambda part: type(part).__name__, "css": in_css}
    environment.globals["own"] = _own
    return environment.get_template("page.html")


def _own(name: str) -> str:
    """A file of this package."""
    return files("ipa.studies.pages").joinpath(name).read_text(encoding="utf-8")
