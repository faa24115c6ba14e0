"""What a study has found as tables of text, for the page, Markdown and the terminal alike."""

from ipa.studies.many.study.sheets.agreement import cells, forecasts, misplaced, queue_term, score, seen_most
from ipa.studies.many.study.sheets.bounds import bounds
from ipa.studies.many.study.sheets.failures import failures
from ipa.studies.many.study.sheets.headline import headline
from ipa.studies.many.study.sheets.loads import loads
from ipa.studies.many.study.sheets.points import lost, named_points
from ipa.studies.many.study.sheets.sheet import Sheet
from ipa.studies.many.study.sheets.systems import overall, sentences, systems
from ipa.studies.many.study.sheets.times import decision_times

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
