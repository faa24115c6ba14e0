"""The findings in words: which setting wins, or that none is shown to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ipa.studies.formatting import number
from ipa.studies.many.answers.differences import Differences
from ipa.studies.many.answers.outcome import Outcome
from ipa.studies.many.answers.settings import ComparedSettings


def shown_mean(settings: ComparedSettings, outcome: Outcome, place: int) -> str:
    """A setting's figure with its interval: `2.41 ± 0.05 cores`."""
    mean = settings.estimate(outcome, place)
    return "–" if mean is None else f"{mean.text(outcome.decimals)} {outcome.unit}".strip().replace("-", "−")


def wins(settings: ComparedSettings, from_winner: Differences) -> str:
    """Which setting wins an outcome, or that none is shown to."""
    outcome, place = from_winner.outcome, from_winner.against
    has = f"{settings.title(place)} with {shown_mean(settings, outcome, place)}"
    if not from_winner.others:
        return f"{outcome.best}: {has}; there is no other setting"
    if not settings.differs(outcome) and len(settings.seeds) < 2:
        return f"{outcome.title}: {shown_mean(settings, outcome, place)} with every setting"
    if len(settings.seeds) < 2:
        return f"{outcome.best}: {has}; with one seed no setting is shown to win"
    if from_winner.is_won:
        behind = f"{'the nearest of which' if from_winner.others > 1 else 'which'} is {_nearest(from_winner)} behind"
        over = f"all {from_winner.others:,} others" if from_winner.others > 1 else "the only other"
        return f"{outcome.best}: {has} is shown to win over {over}, {behind}"
    equals, same = len(from_winner.equals), int((from_winner.mean[from_winner.equals] == 0.0).sum())
    if same == from_winner.others:
        return f"{outcome.title}: {shown_mean(settings, outcome, place)} with every setting, the same in every run"
    not_apart = f"{equals:,} of {from_winner.others:,} others {'is' if equals == 1 else 'are'}"
    if same == equals:
        return f"{outcome.best}: {has}; {not_apart} the same in every run, and the rest is shown to be worse"
    exactly = f" ({same:,} of them the same in every run)" if same else ""
    return f"{outcome.best}: {has}, but no setting is shown to win: {not_apart} not told apart from it{exactly}"


def _nearest(from_winner: Differences) -> str:
    worse = from_winner.outcome.sign * from_winner.mean
    worse[from_winner.against] = np.inf
    at = int(np.nanargmin(worse))
    ends = sorted((abs(from_winner.low[at]), abs(from_winner.high[at])))
    decimals = from_winner.outcome.decimals
    interval = f"[{number(ends[0], decimals)}, {number(ends[1], decimals)}]"
    return f"{number(float(worse[at]), decimals)} {interval} {from_winner.outcome.unit}".strip()


def sentences(
    settings: ComparedSettings, winners: list[Differences], compared: bool, same: list[Outcome]
) -> Iterator[str]:
    """All findings, a sentence each. `compared`: whether all settings ran on the same loads; `same`: outcomes that are
    equal in all settings and have no winner."""
    if not compared:
        yield "The settings met different loads, and so none of them is compared with another."
    for outcome in same:
        yield f"{_capital(f'{outcome.title}: {shown_mean(settings, outcome, 0)}')} with every setting."
    for winner in winners:
        yield f"{_capital(wins(settings, winner))}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
