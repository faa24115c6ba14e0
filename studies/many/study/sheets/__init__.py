"""What a study has found as tables of text, for the page, Markdown and the terminal alike."""

from ipa.studies.many.study.sheets.published import (
    cells,
    decision_times,
    forecasts,
    loads,
    misplaced,
    queue_term,
    score,
    seen_most,
)
from ipa.studies.many.study.sheets.systems import (
    Sheet,
    bounds,
    failures,
    headline,
    lost,
    named_points,
    overall,
    sentences,
    systems,
)

__all__ = [
    "Sheet",
    "bounds",
    "cells",
    "decision_times",
    "failures",
    "forecasts",
    "headline",
    "loads",
    "lost",
    "misplaced",
    "named_points",
    "overall",
    "queue_term",
    "score",
    "seen_most",
    "sentences",
    "systems",
]
