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
    found = settings.estimate(outcome, place)
    return "–" if found is None else f"{found.text(outcome.decimals)} {outcome.unit}".strip().replace("-", "−")


def wins(settings: ComparedSettings, found: Differences) -> str:
    """Which setting wins an outcome, or that none is shown to."""
    outcome, place = found.outcome, found.against
    has = f"{settings.title(place)} with {shown_mean(settings, outcome, place)}"
    if not found.others:
        return f"{outcome.best}: {has}; there is no other setting"
    if not settings.differs(outcome) and len(settings.seeds) < 2:
        return f"{outcome.title}: {shown_mean(settings, outcome, place)} with every setting"
    if len(settings.seeds) < 2:
        return f"{outcome.best}: {has}; with one seed no setting is shown to win"
    if found.is_won:
        behind = f"{'the nearest of which' if found.others > 1 else 'which'} is {_nearest(found)} behind"
        over = f"all {found.others:,} others" if found.others > 1 else "the only other"
        return f"{outcome.best}: {has} is shown to win over {over}, {behind}"
    equals, same = len(found.equals), int((found.mean[found.equals] == 0.0).sum())
    if same == found.others:
        return f"{outcome.title}: {shown_mean(settings, outcome, place)} with every setting, the same in every run"
    of = f"{equals:,} of {found.others:,} others {'is' if equals == 1 else 'are'}"
    if same == equals:
        return f"{outcome.best}: {has}; {of} the same in every run, and the rest is shown to be worse"
    exactly = f" ({same:,} of them the same in every run)" if same else ""
    return f"{outcome.best}: {has}, but no setting is shown to win: {of} not told apart from it{exactly}"


def _nearest(found: Differences) -> str:
    worse = found.outcome.sign * found.mean
    worse[found.against] = np.inf
    at = int(np.nanargmin(worse))
    ends = sorted((abs(found.low[at]), abs(found.high[at])))
    decimals = found.outcome.decimals
    between = f"[{number(ends[0], decimals)}, {number(ends[1], decimals)}]"
    return f"{number(float(worse[at]), decimals)} {between} {found.outcome.unit}".strip()


def sentences(
    settings: ComparedSettings, winners: list[Differences], compared: bool, same: list[Outcome]
) -> Iterator[str]:
    """All findings, a sentence each. `compared`: whether all settings ran on the same loads; `same`: outcomes that are
    equal in all settings and have no winner."""
    if not compared:
        yield "The settings met different loads, and so none of them is compared with another."
    for outcome in same:
        yield f"{_capital(f'{outcome.title}: {shown_mean(settings, outcome, 0)}')} with every setting."
    for found in winners:
        yield f"{_capital(wins(settings, found))}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
