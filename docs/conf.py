"""The documentation as a site: `make docs` builds it from these pages, with a search of its own and no request to
anywhere else.

The pages are plain markdown and are read in the repository as well, so nothing in them is meant for Sphinx alone: the
contents come from the tables of each README.md. Pages to look up (docs/lookup/) are written before by
tests.programs.lookup_pages, and are no part of the repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

project = "IPA"
extensions = ["myst_parser"]
root_doc = "README"
html_theme = "furo"
html_title = "IPA"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
smartquotes = False  # quotes are to be pasted into a shell
myst_heading_anchors = 4  # the anchors that the repository's pages have too
suppress_warnings = ["misc.highlighting_failure"]  # of CSV, for which there is no lexer

DOCS = Path(__file__).resolve().parent
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def contents(text: str) -> str:
    """The pages that a map of pages links to, as one list for each of its tables."""
    captions = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    tables = re.findall(r"^\| page .*\n(?:\|.*\n)+", text, re.MULTILINE)
    lists = []
    for caption, table in zip(captions[-len(tables) :], tables, strict=True):
        pages = dict.fromkeys(link for _, link, _ in LINK.findall(table))
        lists.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]))
    return "\n\n".join(lists)


def looked_up() -> list[Path]:
    """The pages to look up, which a program writes."""
    return sorted(page.relative_to(DOCS) for page in DOCS.glob("lookup/*.md"))


def title(page: Path) -> str:
    """What the page's first line says."""
    return (DOCS / page).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def within(page: str, text: str) -> str:
    """A page's text with its links to the repository's other folders and pages as words: they are no part of the
    site."""

    def as_words(link: re.Match[str]) -> str:
        if link[2].startswith(("http:", "https:", "mailto:")):
            return link[0]
        target = ((DOCS / page).parent / link[2]).resolve()
        is_part = target.is_relative_to(DOCS) or (target.is_file() and target.suffix != ".md")
        return link[0] if is_part else link[1]

    return LINK.sub(as_words, text)


def llms(folder: str = "") -> str:
    """What `llms.txt` says: the pages that the tables of a map name, one line each, as Markdown (llmstxt.org)."""
    text = (DOCS / folder / "README.md").read_text(encoding="utf-8")
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    lines = [] if folder else [f"# {project}", "", f"> {head.strip().splitlines()[2]}"]
    for section in sections or [head]:
        rows = re.findall(r"^\| \[(.+?)\]\(([^)]+)\) \| (.+) \|$", section, re.MULTILINE)
        lines += [] if folder else ["", f"## {section.splitlines()[0]}", ""]
        for name, page, says in rows:
            plain = LINK.sub(r"\1", says)
            lines.append(f"- [{name.removesuffix('.md')}]({Path(folder, page).with_suffix('.html')}): {plain}")
            if Path(page).name == "README.md":
                lines += llms(str(Path(page).parent)).splitlines()
    if not folder:
        lines += ["", "## Pages to look up", ""]
        lines += [f"- [{page.stem}]({page.with_suffix('.html')}): {title(page)}" for page in looked_up()]
    return "\n".join(lines)


def setup(app: Any) -> None:
    """Called by Sphinx."""

    def read(_: Any, page: str, source: list[str]) -> None:
        source[0] = within(page, source[0])
        if Path(page).name == root_doc:
            source[0] += f"\n\n{contents(source[0])}\n"
        if page == root_doc:
            pages = "\n".join(map(str, looked_up()))
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: Look up\n\n{pages}\n```\n"

    def finish(_: Any, error: Exception | None) -> None:
        if error is None:
            (Path(app.outdir) / "llms.txt").write_text(f"{llms()}\n", encoding="utf-8")

    app.connect("source-read", read)
    app.connect("build-finished", finish)
