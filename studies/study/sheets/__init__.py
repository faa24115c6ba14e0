"""What a study has found as tables of text, for the page and for Markdown alike."""

from studies.study.sheets.agreement import cells, forecasts, misplaced, queue_term, score, seen_most
from studies.study.sheets.bounds import bounds
from studies.study.sheets.headline import headline
from studies.study.sheets.loads import loads
from studies.study.sheets.sheet import Sheet
from studies.study.sheets.systems import overall, sentences, systems
from studies.study.sheets.times import decision_times

__all__ = [
    "Sheet",
    "bounds",
    "cells",
    "decision_times",
    "forecasts",
    "headline",
    "loads",
    "misplaced",
    "overall",
    "queue_term",
    "score",
    "seen_most",
    "sentences",
    "systems",
]
