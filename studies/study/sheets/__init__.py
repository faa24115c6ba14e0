"""What a study has found as tables of text, for the page, Markdown and the terminal alike."""

from ipa.studies.study.sheets.agreement import cells, forecasts, misplaced, queue_term, score, seen_most
from ipa.studies.study.sheets.bounds import bounds
from ipa.studies.study.sheets.failures import failures
from ipa.studies.study.sheets.headline import headline
from ipa.studies.study.sheets.loads import loads
from ipa.studies.study.sheets.points import lost, named_points
from ipa.studies.study.sheets.sheet import Sheet
from ipa.studies.study.sheets.systems import overall, sentences, systems
from ipa.studies.study.sheets.times import decision_times

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
