"""How long decisions take, published and ours."""

from __future__ import annotations

from collections.abc import Sequence

from ipa.studies.many.study.decision_times import BATCHES
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.sheets.sheet import Sheet


def decision_times(found: Found) -> Sheet:
    """Times of one decision, published and measured."""
    ours = {(timing.shape, timing.batches): timing.seconds for timing in found.timings}
    rows = []
    for each in found.plan.published.decision_times if found.plan.published else ():
        batches = each.batches or BATCHES
        mine = ours[tuple(each.variants), batches]
        rows.append(
            (
                str(len(each.variants)),
                _shape(each.variants),
                f"{each.batches or 'not said'}, {batches}",
                f"{1000 * each.seconds:.0f} ms ({each.how})",
                f"{1000 * mine:.2f} ms",
                f"{each.seconds / mine:,.0f}",
            )
        )
    return Sheet(
        "Time of one decision, published and ours",
        "Of ours the median over random pipelines whose SLA binds, by the exact solver on this machine; it includes "
        "the tables that a run makes once.",
        ("stages", "variants", "batch sizes, theirs and ours", "published optimiser", "ours", "times as fast"),
        tuple(rows),
        names=3,
    )


def _shape(variants: Sequence[int]) -> str:
    same = len(variants) > 2 and len(set(variants)) == 1
    return f"{variants[0]} each" if same else " + ".join(map(str, variants))
