"""The loads, published and ours."""

from __future__ import annotations

from ipa.studies.formatting import number, plus
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.sheets.sheet import Sheet
from ipa.studies.scenario import find_trace


def loads(found: Found) -> Sheet:
    """One row per published load: its requests, their mean and range by the second, and how ours differs."""
    findings = found.findings[0]
    rows = []
    for workload, theirs in (found.plan.published.loads if found.plan.published else {}).items():
        cell = next((each for each in findings.cells if each.workload == workload), None)
        if cell is None:
            continue
        counts = find_trace(cell.scenario.trace, findings.seeds[0], cell.scenario.time_hints).per_second()
        least, most = int(counts.min()), int(counts.max())
        rows.append(
            (
                workload,
                *(f"{theirs.requests:,}", f"{counts.sum():,}", plus(int(counts.sum()) - theirs.requests, 0)),
                number(theirs.mean_rps, 1),
                number(counts.mean(), 1),
                plus(counts.mean() - theirs.mean_rps, 1),
                f"{theirs.least_rps} to {theirs.most_rps}",
                f"{least} to {most}",
                f"{plus(least - theirs.least_rps, 0)}, {plus(most - theirs.most_rps, 0)}",
            )
        )
    return Sheet(
        "Load patterns, published and ours",
        "The requests of 20 minutes, and by the second their mean, fewest and most. "
        + ("Ours are the same windows of the real trace." if found.plan.has_real_trace else "Ours are synthetic."),
        (
            "workload",
            *(
                column
                for figure in ("requests", "mean, rps", "range, rps")
                for column in (f"{figure}, published", "ours", "difference")
            ),
        ),
        tuple(rows),
    )
