"""A page as values: sections of figures, tables and words, which any page, notebook or server can show; and its HTML.

Texts are plain; `page.html`, the one place with HTML, escapes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ipa.studies.displayed import check_plotly
from ipa.studies.pages.colours import DARK, in_css, style_of_themes
from ipa.studies.pages.plots import CONFIG, Plot
from ipa.studies.runs.results import write_text

if TYPE_CHECKING:
    from jinja2 import Template


class Strong(NamedTuple):
    """Bold words in a text, in a colour where that says something."""

    text: str
    colour: str = ""


class Swatch(NamedTuple):
    """A dot in a colour, before the name of what is drawn in it."""

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
    """A table under its columns' headings; readers sort, filter and download it.

    `name` says what it shows: to those who cannot see it, and as the name of the downloaded file.
    """

    name: str
    columns: Cells
    rows: Sequence[Cells]
    css: str = ""


@dataclass(frozen=True)
class Items:
    """A list of texts; `css`: `key` for what explains the marks of figures."""

    items: Sequence[Text]
    css: str = ""


@dataclass(frozen=True)
class Paragraph:
    """A text; `css`: `muted` for what helps to read the rest."""

    text: Text
    css: str = ""


@dataclass(frozen=True)
class Choice:
    """What a reader chooses for the sections that say so in `shown_for`: its options and their titles; the first is
    chosen."""

    key: str
    title: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Facts:
    """Names, and what there is to say of each."""

    lines: Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """Figures side by side where there is room, without their headings."""

    plots: Sequence[Plot]


@dataclass(frozen=True)
class Section:
    """A part of a page: its title, how to read it, and what it shows, one below the other.

    `shown_for`: the choice of a reader (see `Choice` and `Page.choices`) and the option for which alone it is shown.
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
    """A page: `facts` are told at its end, folded; `subtitle` has a line for each text.

    `choices`: what a reader chooses for the whole page -> its options and their titles; such a page has links to its
    sections above all.
    """

    title: str
    subtitle: Sequence[str]
    sections: Sequence[Part]
    facts: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, str]] | None = None

    @property
    def parts(self) -> Sequence[Part]:
        """The sections, and the facts as the last."""
        told = [Section("What was run", [Facts(self.facts)], is_folded=True)] if self.facts else []
        return [*self.sections, *told]

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


def html_of(page: Page, plotly_file: str = "") -> str:
    """The page as HTML: one document, plotly.js included, that opens anywhere; the same page, byte for byte.

    `plotly_file`: the file beside the page that has plotly.js instead. Raises ScenarioError where plotly or jinja2 is
    not installed.
    """
    check_plotly("a report")
    from plotly.offline import get_plotlyjs

    return _template().render(
        page=page,
        plotly_file=plotly_file,
        plotly="" if plotly_file else get_plotlyjs(),
        themes=style_of_themes(),
        drawing={"colours": DARK, "config": CONFIG},
    )


def write(page: Page, path: Path, *, plotly_beside: bool = False) -> None:
    """Write a page to a file, whole or not at all; `plotly_beside`: plotly.js as one file beside it, which the pages of
    a folder share.

    Raises as `html_of`, and ScenarioError for an unusable path.
    """
    check_plotly("a report")
    if not plotly_beside:
        write_text(html_of(page), path)
        return
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    name = f"plotly-{get_plotlyjs_version()}.min.js"
    html = html_of(page, name)
    write_text(get_plotlyjs(), path.with_name(name))
    write_text(html, path)


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


def _own(name: str) -> Any:
    """A file of ours, which is not escaped."""
    from markupsafe import Markup

    return Markup(files("ipa.studies.pages").joinpath(name).read_text(encoding="utf-8"))
