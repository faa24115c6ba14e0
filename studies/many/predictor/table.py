"""Scores as rows of text, and as a file of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ipa.studies.many.predictor.evaluate import Measured, Score
from ipa.studies.runs.results import check_writable, write_text
from ipa.studies.scenario import ScenarioError

NONE = "-"


def columns(measured: Measured) -> list[str]:
    """The headings, with units."""
    return [
        "predictor",
        "SMAPE %",
        "under %",
        *(f"pinball {level:g}, rps" for level in measured.quantiles),
        *(f"under {level:g}, %" for level in measured.quantiles),
        f"within {100 * measured.interval:g} %, %",
        "ms",
    ]


def row(score: Score) -> list[str]:
    """The cells of a predictor; `-` where there is nothing to score, and beside the name what is missing."""
    missing = f" (no forecast at {score.missing} of {score.moments})" if score.missing else ""
    return [
        score.name + missing,
        _figure(score.smape_percent, 2),
        _figure(100 * score.under_share, 1),
        *(_figure(loss, 3) for loss in score.pinball_rps),
        *(_figure(100 * share, 1) for share in score.quantile_under_share),
        NONE if score.coverage is None else _figure(100 * score.coverage, 1),
        _figure(score.forecast_ms, 3),
    ]


def check_file(path: Path) -> None:
    """Raise ScenarioError, before anything is scored, for a file that the table cannot be written to as a new one."""
    if path.suffix not in _MAKERS:
        raise ScenarioError(f"{path}: a table is written as {' or '.join(_MAKERS)}")
    if path.exists():
        raise ScenarioError(f"{path}: already exists; give a new file")
    check_writable(path.parent, str(path))


def write(scores: Sequence[Score], measured: Measured, path: Path) -> None:
    """Write the table to a new file, whose folder is created if need be. Raises as `check_file`."""
    check_file(path)
    write_text(_MAKERS[path.suffix]([columns(measured), *map(row, scores)]), path)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    first, *others = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in rows)
    return "\n".join([first, f"|---|{'--:|' * (len(rows[0]) - 1)}", *others, ""])


_MAKERS = {".csv": _csv, ".md": _markdown}


def _figure(value: float, digits: int) -> str:
    return NONE if value != value else f"{value:.{digits}f}"
