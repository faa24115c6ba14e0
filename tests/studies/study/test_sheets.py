"""Tables of text: what only some of several sweeps have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ipa.studies.formatting import NONE
from ipa.studies.many.study import sheets


def swept(points: dict[str, float]) -> list[Any]:
    """Cells of named points, each of which lost so many requests with one core."""
    return [
        SimpleNamespace(mean=lambda key, _, lost=lost: lost if key != "cost_mean_cores" else 1.0)
        for lost in points.values()
    ]


def test_each_figure_of_what_is_lost_stands_under_its_own_point() -> None:
    """Two sweeps have the two published points, each with one more; the further ones differ."""
    sweeps = {"one": {"lstm": 3.0, "moving": 5.0, "ours": 7.0}, "two": {"other": 1.0, "lstm": 2.0, "moving": 4.0}}
    findings = SimpleNamespace(
        pipeline="video",
        study=SimpleNamespace(
            sweeps={name: SimpleNamespace(points=list(points)) for name, points in sweeps.items()},
            workloads=["bursty"],
        ),
        of=lambda setting, workload, name: swept(sweeps[name]),
        title=lambda name: f"IPA, {name}",
    )
    at = {"lstm": SimpleNamespace(lost=10), "moving": SimpleNamespace(lost=20)}
    published = SimpleNamespace(points={"figure": {"video": {"bursty": at}}})
    found: Any = SimpleNamespace(plan=SimpleNamespace(published=published), findings=[findings])
    sheet = sheets.lost(found, "published")
    assert sheet.columns == ("pipeline", "workload", "with", "lstm", "moving", "ours", "other", "published", "in order")
    assert sheet.rows == (
        ("video", "bursty", "one", "3 (1.00)", "5 (1.00)", "7 (1.00)", NONE, f"10, 20, {NONE}", "yes"),
        ("video", "bursty", "two", "2 (1.00)", "4 (1.00)", NONE, "1 (1.00)", f"{NONE}, 10, 20", "yes"),
    )
