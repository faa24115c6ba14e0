"""What a page's scripts do, in a browser: tables sort, filter and download, figures follow theme and width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipa.studies.pages.colours import BACKGROUND, DARK, PALETTE
from ipa.studies.pages.document import Cell, Page, Section, Table, html_of
from ipa.studies.pages.plots import Plot, axis, layout, steps
from tests.studies.browser import NARROW, Browser, needs_chromium

pytest.importorskip("plotly")

pytestmark = needs_chromium

FIGURES = ("1,000.5", "–", "−3", "+20 %", "7")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a short table, a long and wide one, and a figure."""
    names = [f"row {number}" for number in (10, 9, 2, 1, 30)]
    rows: list[list[str | Cell]] = [[name, Cell(text, f"of {text}")] for name, text in zip(names, FIGURES, strict=True)]
    short = Table("Short: one", ["name, or so", Cell("PAS", "x 100")], rows)
    long = Table("Long", [f"column {n}" for n in range(12)], [[f"cell {n}"] * 12 for n in range(13)])
    drawn = Plot(
        "load",
        "Load",
        "How to read it.",
        [steps([0.0, 9.0], [1.0, 2.0], "a name that is long enough for a row", {"color": PALETTE[0]})] * 3,
        layout(300, xaxis=axis("time (s)"), yaxis=axis("load")),
    )
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html_of(Page("Title", ["Subtitle"], [Section("Tables", [short, long]), drawn])), encoding="utf-8")
    return path


def column(shown: Browser, place: int, table: str = "Short: one") -> list[str]:
    """The texts of a column's rows that are shown, without what stands small beneath."""
    rows = f"[...document.querySelector('table[aria-label=\"{table}\"]').tBodies[0].rows].filter(row => !row.hidden)"
    return list(shown.run(f"{rows}.map(row => row.cells[{place}].firstChild.textContent)"))


def press(shown: Browser, selector: str) -> Any:
    return shown.run(f"document.querySelector('{selector}').click()")


def test_a_column_is_sorted_by_a_button_that_says_how(shown: Browser, page: Path) -> None:
    shown.open(page)
    head = 'table[aria-label="Short: one"] th:nth-child(2)'
    assert shown.run(f"document.querySelector('{head} button').textContent") == "PAS"
    seen = []
    for _ in range(3):
        press(shown, f"{head} button")
        seen.append((shown.run(f"document.querySelector('{head}').getAttribute('aria-sort')"), column(shown, 1)))
    assert seen == [
        ("ascending", ["−3", "7", "+20 %", "1,000.5", "–"]),
        ("descending", ["1,000.5", "+20 %", "7", "−3", "–"]),
        ("none", list(FIGURES)),
    ]
    press(shown, 'table[aria-label="Short: one"] th:nth-child(1) button')
    assert column(shown, 0) == ["row 1", "row 2", "row 9", "row 10", "row 30"]
    assert shown.run("document.querySelector('[role=status]').textContent") == "Sorted by name, or so, ascending"


def test_only_a_long_table_is_filtered(shown: Browser, page: Path) -> None:
    shown.open(page)
    assert shown.run("document.querySelectorAll('input[type=search]').length") == 1
    shown.run(
        "(() => { const input = document.querySelector('input[type=search]'); input.value = 'CELL 12';"
        "input.dispatchEvent(new Event('input')); })()"
    )
    assert column(shown, 0, "Long") == ["cell 12"]
    assert shown.run("document.querySelectorAll('[role=status]')[1].textContent") == "1 of 13 rows"


CATCH_DOWNLOAD = """
URL.createObjectURL = blob => { window.saved = blob; return "blob:none"; };
HTMLAnchorElement.prototype.click = function () { window.file = this.download; };
"""


def test_a_download_is_csv_that_programs_read(shown: Browser, page: Path) -> None:
    """With an ASCII minus, without commas between thousands, and what stands small in a column of its own."""
    shown.open(page)
    shown.run(CATCH_DOWNLOAD)
    press(shown, 'button[aria-label="Download CSV of: Short: one"]')
    assert shown.run("file") == "short-one.csv"
    assert shown.run("saved.text()").lstrip("\ufeff").splitlines() == [
        '"name, or so",PAS (x 100),PAS (x 100): beneath',
        'row 10,1000.5,"of 1,000.5"',
        "row 9,–,of –",
        "row 2,-3,of −3",
        "row 1,20 %,of +20 %",
        "row 30,7,of 7",
    ]


def test_figures_follow_the_theme_and_are_light_on_paper(shown: Browser, page: Path) -> None:
    figure = "document.querySelector('.plot')"
    drawn = f"[{figure}.data[0].line.color, {figure}._fullLayout.paper_bgcolor, getComputedStyle(document.body).color]"
    shown.open(page, dark=True)
    shown.draw_all()
    assert shown.run(drawn) == [DARK[PALETTE[0]], DARK[BACKGROUND], "rgb(230, 234, 237)"]
    shown.theme(dark=False)
    shown.until(f"{figure}._fullLayout.paper_bgcolor === '{BACKGROUND}'")
    assert shown.run(drawn) == [PALETTE[0], BACKGROUND, "rgb(29, 36, 41)"]
    shown.theme(dark=True)
    shown.until(f"{figure}._fullLayout.paper_bgcolor === '{DARK[BACKGROUND]}'")
    shown.run("dispatchEvent(new Event('beforeprint'))")
    assert shown.run(drawn)[:2] == [PALETTE[0], BACKGROUND]
    assert shown.run(f"{figure}.layout.width") == 680
    shown.run("dispatchEvent(new Event('afterprint'))")
    assert shown.run(drawn)[:2] == [DARK[PALETTE[0]], DARK[BACKGROUND]]


def test_on_a_narrow_screen_nothing_is_cut_and_nothing_scrolls_sideways(shown: Browser, page: Path) -> None:
    """Each row of the table of twelve columns is a block, in which each figure has its heading."""
    shown.open(page, width=NARROW)
    shown.draw_all()
    assert shown.run("document.documentElement.scrollWidth") == NARROW
    assert not shown.run("[...document.querySelectorAll('.wide')].some(box => box.scrollWidth > box.clientWidth)")
    last = "document.querySelector('table[aria-label=Long]').tBodies[0].rows[0].cells[11]"
    assert shown.run(f"{last}.getBoundingClientRect().right") <= NARROW
    assert shown.run(f"getComputedStyle({last}, '::before').content") == '"column 11"'
    assert column(shown, 0, "Long")[0] == "cell 0"
    press(shown, "table[aria-label=Long] th:nth-child(12) button")
    assert shown.run("document.querySelector('table[aria-label=Long] th:nth-child(12)').ariaSort") == "ascending"
    assert shown.run("document.querySelector('.plot')._fullLayout.font.size") == 11
    shown.size(1000, 900)
    shown.until("document.querySelector('.plot')._fullLayout.font.size === 12")
