"""The tables of a study, written as parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.studies import results
from ipa.studies.intervals import Estimate
from ipa.studies.many import TIMELINE, latency_edges_s
from ipa.studies.many.study.findings import Findings, StudyCell, SystemsComparison, comparisons, sentence
from ipa.studies.many.study.headline import Match
from ipa.studies.many.study.published import ComparedCell

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("pipeline", "setting", "workload", "system", "point")
"""The columns that name the cell of a row."""

_NOT_OF_THE_RUN = ("wall_s", "pipeline", "seed")


def tables(
    all_findings: Sequence[Findings], matches: Sequence[Match], published: Sequence[ComparedCell]
) -> dict[str, pd.DataFrame]:
    """Every table by name; the same findings give the same tables."""
    import pandas as pd

    cells = [cell for findings in all_findings for cell in findings.cells]
    of_systems = [cell for cell in cells if not cell.point]
    compared = [(findings, comparison) for findings in all_findings for comparison in comparisons(findings)]
    return {
        "runs": pd.DataFrame(list(_runs(cells))),
        "timelines": _timelines(of_systems),
        "latencies": _latencies(of_systems),
        "configurations": _configurations(of_systems),
        "comparisons": pd.DataFrame([_comparison(findings, compared_cell) for findings, compared_cell in compared]),
        "headline": pd.DataFrame([match_row(match) for match in matches]),
        "published": pd.DataFrame([_published(compared_cell) for compared_cell in published]),
    }


def _runs(cells: Iterable[StudyCell]) -> Iterator[dict[str, Any]]:
    for cell in cells:
        for seed, outcome in cell.outcomes.items():
            figures = results.as_row(outcome.summary, without=_NOT_OF_THE_RUN)
            yield {**dict(zip(NAMES, cell.name, strict=True)), "seed": seed, **figures}


def _timelines(cells: Sequence[StudyCell]) -> pd.DataFrame:
    parts = [(cell, seed, outcome.timeline) for cell in cells for seed, outcome in cell.outcomes.items()]
    lengths = [timeline.shape[1] for _, _, timeline in parts]
    columns = np.concatenate([timeline for _, _, timeline in parts], axis=1)
    counts = ("requests", "violations", "violated_seconds")
    table = _repeated([(cell, seed) for cell, seed, _ in parts], lengths)
    for name, values in zip(TIMELINE, columns, strict=True):
        table[name] = values.astype(np.int64) if name in counts else values
    return table


def _latencies(cells: Sequence[StudyCell]) -> pd.DataFrame:
    """The latency bins with any request or second: `up_to_s` is the bin's upper end."""
    parts = [(cell, seed, outcome) for cell in cells for seed, outcome in cell.outcomes.items()]
    places = [np.flatnonzero(outcome.latencies + outcome.seconds) for _, _, outcome in parts]
    table = _repeated([(cell, seed) for cell, seed, _ in parts], [len(place) for place in places])
    table["up_to_s"] = latency_edges_s()[np.concatenate(places)]
    for name, attribute in (("requests", "latencies"), ("seconds", "seconds")):
        counts = (getattr(outcome, attribute)[place] for (_, _, outcome), place in zip(parts, places, strict=True))
        table[name] = np.concatenate(list(counts))
    return table


def _configurations(cells: Sequence[StudyCell]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (*cell.name[:4], seed, decided.text, decided.cores, decided.share)
        for cell in cells
        for seed, outcome in cell.outcomes.items()
        for decided in outcome.configurations
    ]
    return pd.DataFrame(rows, columns=[*NAMES[:4], "seed", "configuration", "cores", "share"])


def _repeated(names: Sequence[tuple[StudyCell, int]], lengths: Sequence[int]) -> pd.DataFrame:
    """The columns that name the run of a row; each run is repeated for its number of rows."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for position, key in enumerate(NAMES[:4]):
        values = list(dict.fromkeys(cell.name[position] for cell, _ in names))
        codes = np.repeat([values.index(cell.name[position]) for cell, _ in names], lengths)
        columns[key] = pd.Categorical.from_codes(codes, pd.Index(values))
    columns["seed"] = np.repeat([seed for _, seed in names], lengths)
    return pd.DataFrame(columns)


def _comparison(findings: Findings, comparison: SystemsComparison) -> dict[str, Any]:
    first, second = comparison.one, comparison.other
    return {
        **dict(zip(NAMES[:4], first.name, strict=False)),
        "other": second.system,
        "seeds": len(findings.seeds),
        **differences(comparison),
        "sentence": sentence(findings, comparison),
    }


def differences(comparison: SystemsComparison | None) -> dict[str, float]:
    """The differences with the ends of their intervals; NaN if there are none."""
    row: dict[str, float] = {}
    for name in _DIFFERENCES:
        value: Estimate | None = getattr(comparison, name, None)
        row[name] = float("nan") if value is None else value.mean
        row[f"{name}_low"] = float("nan") if value is None else value.low
        row[f"{name}_high"] = float("nan") if value is None else value.high
    return row


_DIFFERENCES = ("pas_points", "cost_percent", "violations_points", "planned_pas_points", "planned_cost_percent")


def match_row(match: Match) -> dict[str, Any]:
    """A row of the table `headline`."""
    reference, comparison = match.other, match.comparison
    return {
        "pipeline": reference.pipeline,
        "setting": reference.setting,
        "workload": reference.workload,
        "measure": match.measure,
        "equal": match.at,
        "over": match.over,
        "over_point": reference.point,
        "curve": "" if comparison is None else comparison.one.system,
        "curve_point": "" if comparison is None else comparison.one.point,
        "mixed": match.is_mixed,
        "left_out": match.is_left_out,
        **differences(comparison),
    }


def _published(cell: ComparedCell) -> dict[str, Any]:
    return {
        "pipeline": cell.pipeline,
        "setting": cell.setting,
        "workload": cell.workload,
        "system": cell.system,
        "published_cost_cores": cell.published.cores,
        "planned_cost_cores": cell.ours.cores,
        "cost_error": cell.cost_error,
        "published_pas": cell.published.pas,
        "planned_pas": cell.ours.pas,
        "pas_error": cell.pas_error,
        "published_lost": _or_nan(cell.published.lost),
        "lost": _or_nan(cell.ours.lost),
        "published_violated_seconds_percent": _or_nan(cell.published.violated_seconds_percent),
        "violated_seconds_percent": _or_nan(cell.ours.violated_seconds_percent),
    }


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
