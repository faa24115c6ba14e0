"""Published figures beside ours."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from ipa.studies.many.study import published
from ipa.studies.many.study.published import ComparedCell
from ipa.studies.many.study.schema import PublishedFigures
from tests.studies.study.mine import changed, figures, study
from tests.test_docs import named, table_rows

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


def compared(system: str, published_figures: tuple[float, float], ours: tuple[float, float]) -> ComparedCell:
    one, other = (PublishedFigures(cores=cores, pas=pas) for cores, pas in (published_figures, ours))
    return ComparedCell("mine", "plain", "load", system, one, other)


def test_the_score_by_hand() -> None:
    """Costs 10 and 10.1 are tied, so may swap; PAS 40 and 41 are not, and swap."""
    row = [compared("a", (10.0, 40.0), (11.0, 40.5)), compared("b", (10.1, 41.0), (10.1, 40.5))]
    assert published.out_of_order(row) == [("PAS", "a", "b")]
    found = published.score(row)
    assert found is not None
    assert (found.cells, found.rows, found.rows_in_order) == (2, 1, 0)
    assert found.cost_error == pytest.approx(0.05)
    assert found.pas_error == pytest.approx(0.5)


PUBLISHED = """\
schema_version: 1
kind: published
source: a paper of mine
fitted_on: {mine: {"constant:5:40": [two]}}
loads: {"constant:5:40": {requests: 190, mean_rps: 4.75, least_rps: 5, most_rps: 6}}
cells:
  mine: {"constant:5:40": {one: {cores: 1, pas: 80, lost: 3}, two: {cores: 4, pas: 80}}}
points: {named: {mine: {"constant:5:40": {slow: {lost: 7}}}}}
decision_times: [{variants: [3, 2], seconds: 1, how: published}]
"""


@pytest.mark.long
def test_figures_of_ones_own_stand_beside_and_every_file_is_documented(here: Path) -> None:
    """One core for one replica, as published; two for two where four are published: 0 and 50 % off, 25 % on average."""
    (here / "paper.yaml").write_text(PUBLISHED)
    changed("title: mine\n", "title: mine\npublished: paper.yaml\n")
    text = Path("study.yaml").read_text()
    Path("study.yaml").write_text(
        text.replace(
            "headline:",
            "  named: {title: by name, of: one, points: {as it is: {}, slow: {decision_delay_s: 3}}}\nheadline:",
        )
    )
    said = study("--seeds", 1)["scores"]["plain"]
    assert said["all"] == {"cells": 2, "cost_error": 0.25, "pas_error": 0.0, "rows": 1, "rows_in_order": 1}
    assert (said["calibrated"], said["test"]) == (None, said["all"])
    assert said["test_unfitted"] == {"cells": 1, "cost_error": 0.0, "pas_error": 0.0, "rows": 1, "rows_in_order": 1}
    table = pd.read_parquet("out/published.parquet")
    assert table[table.setting == "plain"]["cost_error"].tolist() == [0.0, -0.5]
    assert table[table.setting == "plain"]["published_lost"].fillna(-1).tolist() == [3, -1]
    assert table[table.setting == "plain"]["lost"].tolist() == [0, 0]
    text, page = Path("out/tables.md").read_text(), Path("out/report.html").read_text()
    assert "| 2 | 3 + 2 | not said, 7 | 1000 ms (published) |" in Path("out/decision_times.md").read_text()
    assert "| constant:5:40 | 190 | 200 | +10 | 4.8 | 5.0 | +0.2 | 5 to 6 | 5 to 5 | 0, −1 |" in text
    assert "Load patterns, published and ours" in page
    means, plane = (figures(page)[f"mine-{name}-plain"]["data"] for name in ("means", "plane"))
    assert [trace["y"] for trace in means if trace["name"] == "published"] == [[1.0, 4.0], [80.0, 80.0]]
    # What is published is planned: so stands beside it what was planned here.
    beside = [(trace["name"], trace["x"]) for trace in plane if trace["name"].endswith(("planned", "(planned)"))]
    assert beside == [
        (name, [x])
        for x, y in ((1.0, 1.0), (4.0, 2.0))
        for name, x in (("published (planned)", x), ("ours, planned", y))
    ]
    # Lost requests stand beside those published: of a system, and of a sweep's named point.
    assert "| mine | constant:5:40 | one | 1.00 | 1.00 | 0.0 % | 80.00 | 80.00 | 0.00 | 3 | 0 | – | 0.0 |" in text
    by_name = text.split("### by name")[1].split("###")[0]
    (header, *points) = [line.split(" | ") for line in by_name.splitlines() if line.startswith("| ")]
    place = header.index("dropped or failed")
    assert [(row[1], row[2], row[place]) for row in points] == [
        (load, point, "0") for load in ("constant:5:40", "constant:9:40") for point in ("as it is", "slow")
    ]
    assert "| mine | constant:5:40 | as published | 0 (1.00) | 0 (1.00) | –, 7 | no |" in text
    named_bars = figures(page)["mine-sweep-named-plain"]["data"]
    assert {trace["name"] for trace in named_bars if trace["type"] == "bar"} == {"as it is", "slow"}
    assert [trace["y"] for trace in named_bars if trace["name"] == "published"] == [[7.0]]
    assert "by name" not in {trace["name"] for trace in plane}
    study("--seeds", 1, folder="again")
    assert Path("again/tables.md").read_text() == text  # no time stands in it
    documented = {named(row[0]): row[2] for row in table_rows("studies.md", "The folder", "| file |")}
    assert set(documented) == {f"{path.name}{'/' * path.is_dir()}" for path in Path("out").iterdir()}
    names = {"pipeline", "setting", "workload", "system", "point", "seed"}
    names |= set(re.findall(r"`(\w+)`", documented["comparisons.parquet"]))  # the same differences in the headline
    for file, columns in documented.items():
        if file.endswith(".parquet") and file != "runs.parquet":
            given = {re.sub("_(low|high)$", "", column) for column in pd.read_parquet(Path("out") / file).columns}
            assert given - names <= set(re.findall(r"`(\w+)`", columns)), file
