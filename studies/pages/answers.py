"""The answers of a table of runs as a page, or as parts of another page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import floor, log10

import numpy as np

from ipa.studies.formatting import NONE, number, plus
from ipa.studies.intervals import limits
from ipa.studies.many.answers import (
    ComparedSettings,
    Differences,
    Key,
    Outcome,
    Recommendation,
    TableAnswers,
    differences,
    effect,
    shown_mean,
)
from ipa.studies.pages import answers_figures, answers_front
from ipa.studies.pages.document import Cell, Cells, Choice, Items, Page, Paragraph, Part, Section, Table
from ipa.studies.pages.plots import Plot
from ipa.studies.runs import marked


def page(answers: TableAnswers) -> Page:
    """The page."""
    first, reasons = recommended(answers.recommend())
    findings = Section("What was found", [*reasons, headline(answers)])
    drawn = plots(answers)
    fronts = [plot for plot in drawn if plot.name.startswith("front")]
    others = [plot for plot in drawn if plot not in fronts]
    shown: list[Part] = [*first, *fronts, findings, *best_settings(answers), *against(answers), *others]
    return Page(answers.question, [f"{answers.title}: {answers.ran}"], shown, _facts(answers))


def _facts(answers: TableAnswers) -> dict[str, str]:
    """The lines of "What was run"."""
    whole = answers.all_settings
    return {
        **({"Pipeline and load": answers.where} if answers.where else {}),
        **{key.title: _levels(key) for key in whole.keys},
        "Seeds": ", ".join(map(str, whole.seeds)),
        "Runs": answers.ran,
    }


def _levels(key: Key) -> str:
    """The values of a key; of many values their number and, if numeric, the range."""
    texts = [key.text(code) for code in range(len(key.levels))]
    if len(texts) <= MOST_ROWS:
        return ", ".join(texts)
    return f"{len(texts):,} values" + (f" from {texts[0]} to {texts[-1]}" if key.is_number else "")


def recommended(recommendation: Recommendation | None) -> tuple[list[Part], list[Part]]:
    """Which setting to choose, in one sentence, and the reasons; empty if there is nothing to choose."""
    if recommendation is None or recommendation.settings < 2:
        return [], []
    first, *reasons = recommendation.sentences
    return [Section("Which to take", [Paragraph(first)])], [Items(reasons)] if reasons else []


def headline(answers: TableAnswers) -> Part:
    """The findings in words."""
    return Items(answers.headline) if answers.headline else Paragraph("Too little was run to say anything.")


def best_settings(answers: TableAnswers) -> list[Section]:
    """The best settings by outcome, without outcomes that no setting changes."""
    settings = answers.kept
    return [
        Section(f"Best settings: {winner.outcome.title}", [_best_settings(settings, winner)], reading(settings, winner))
        for winner in answers.winners
        if winner.others and settings.differs(winner.outcome)
    ]


def against(answers: TableAnswers, suffix: str = "") -> list[Section]:
    """The differences of all settings from the one that the reader picks; empty if there are more than `MOST_PICKED`.
    `of` distinguishes several such sections of a page."""
    settings = answers.settings
    if not answers.are_compared or not 2 <= len(settings) <= MOST_PICKED:
        return []
    choice, names = f"against{suffix}", [_title(settings, at) for at in range(len(settings))]
    tables = [Section("", [_against(settings, at, names)], shown_for={choice: str(at)}) for at in range(len(settings))]
    note = "Seed by seed, over the loads that all met."
    if len(settings.seeds) > 1:
        note += " The intervals of an outcome hold together in 95 % of all cases."
    picked = Choice(choice, "Against", {str(at): name for at, name in enumerate(names)})
    return [Section("Differences from the one you pick", [picked, *tables], note)]


def _against(settings: ComparedSettings, picked: int, names: Sequence[str]) -> Table:
    of_outcomes = [differences(settings, outcome, picked) for outcome in settings.outcomes]
    columns: Cells = [
        "",
        *(Cell(of_outcome.outcome.axis, f"each at {_level(of_outcome)} %") for of_outcome in of_outcomes),
    ]
    rows: list[Cells] = [
        [Cell(name, is_heading=True), *(_difference(of_outcome, at) for of_outcome in of_outcomes)]
        for at, name in enumerate(names)
        if at != picked
    ]
    return Table(f"Differences from {names[picked]}", columns, rows, "best")


def _title(settings: ComparedSettings, at: int) -> str:
    """A setting in words; with a single key, its value alone. One that knows the load to come is marked as a bound."""
    title = settings.keys[0].text(settings.codes[at, 0]) if len(settings.keys) == 1 else settings.title(at)
    return marked(title, {"knows_future": settings.is_bound[at]})


def _difference(differences: Differences, at: int) -> Cell:
    """A difference with its interval beneath."""
    mean, low, high = (float(ends[at]) for ends in (differences.mean, differences.low, differences.high))
    if not np.isfinite(mean):
        return Cell(NONE)
    decimals = differences.outcome.decimals
    return Cell(plus(mean, decimals), f"[{number(low, decimals)}, {number(high, decimals)}]" * bool(np.isfinite(low)))


def plots(answers: TableAnswers, prefix: str = "") -> list[Plot]:
    """The plots that the table allows; `prefix`: that of their names."""
    return [replace(plot, name=f"{prefix}{plot.name}") for plot in _plots(answers)]


def _plots(answers: TableAnswers) -> Iterator[Plot]:
    """The fronts that were found, and the effects of the keys on each outcome."""
    chosen, whole = answers.settings, answers.all_settings
    for one_front in answers.fronts:
        yield answers_front.front(answers.choices, one_front, f"front-{len(one_front.outcomes)}")
    fitting = {
        outcome: [place for place in _by_effect(whole, outcome, chosen.keys) if whole.keys[place].fits]
        for outcome in _differing(whole)
    }
    for outcome, order in fitting.items():
        if order:
            yield answers_figures.effects(whole, outcome, order)


def _differing(settings: ComparedSettings) -> tuple[Outcome, ...]:
    """The outcomes to plot: those that differ between settings. The others are told in words."""
    return tuple(outcome for outcome in settings.outcomes if settings.differs(outcome))


def _by_effect(settings: ComparedSettings, outcome: Outcome, choices: Sequence[Key]) -> list[int]:
    """The indices of the keys, first the one whose values differ most in the outcome's mean; those of loads last."""
    names = [key.name for key in choices]

    def rank(place: int) -> tuple[bool, float]:
        mean = effect(settings, outcome, place).mean
        return settings.keys[place].name not in names, -float(np.nanmax(mean) - np.nanmin(mean))

    return sorted(range(len(settings.keys)), key=rank)


# ---- the best settings for an outcome as a table ----


MOST_ROWS = 12

MOST_PICKED = 20
"""The most settings that a reader can pick from."""


def _best_settings(settings: ComparedSettings, from_best: Differences) -> Table:
    """The best settings: their outcomes, and their differences from the first."""
    outcome = from_best.outcome
    means = outcome.sign * settings.means[outcome.column]
    order = [from_best.against, *(at for at in np.argsort(means, kind="stable").tolist() if at != from_best.against)]
    ranked = [at for at in order if np.isfinite(means[at])][:MOST_ROWS]
    others = [outcome_beside for outcome_beside in settings.outcomes if outcome_beside is not outcome]
    columns: Cells = [
        *(key.title for key in settings.keys),
        Cell(outcome.axis, "95 %"),
        Cell("difference", f"each at {_level(from_best)} %"),
        "worse",
        *(Cell(outcome_beside.axis, "95 %") for outcome_beside in others),
    ]
    rows = [_row(settings, from_best, at, others) for at in ranked]
    return Table(f"Best settings: {outcome.title}", columns, rows, "best")


def reading(settings: ComparedSettings, from_best: Differences) -> str:
    """How to read the table."""
    measured = int(np.isfinite(settings.means[from_best.outcome.column]).sum())
    first = f"The first {MOST_ROWS} of {measured:,} settings. " if measured > MOST_ROWS else ""
    if len(settings.seeds) < 2:
        return f"{first}With one seed there are no intervals, and so nothing is shown."
    return (
        f"{first}Differences from the best setting, seed by seed. There are {from_best.others:,}, each with an "
        f"interval of {_level(from_best)} % (Bonferroni), and a setting is shown to be worse if its interval is. The "
        "same runs chose the best: one that is really better is called worse in at most 5 % of all cases; one of "
        f"settings just as good may be called so more often. {limits(settings.traces)}"
    )


def _level(differences: Differences) -> str:
    """The confidence of an interval in percent, with enough decimals to differ from 100."""
    level = 100.0 * differences.confidence
    decimals = max(1, 1 - floor(log10(100.0 - level)))
    return f"{level:.{decimals}f}".rstrip("0").rstrip(".")


def _row(settings: ComparedSettings, from_best: Differences, at: int, others: list[Outcome]) -> list[str | Cell]:
    keys = [key.text(code) for key, code in zip(settings.keys, settings.codes[at].tolist(), strict=True)]
    difference, shown = Cell("best"), NONE
    if at != from_best.against:
        difference, shown = _difference(from_best, at), "yes" if from_best.is_worse[at] else "no"
    own = _figure(settings, from_best.outcome, at)
    return [*keys, own, difference, shown, *(_figure(settings, outcome, at) for outcome in others)]


def _figure(settings: ComparedSettings, outcome: Outcome, at: int) -> Cell:
    """A figure with its interval beneath; its unit is in the heading."""
    main, _, interval = shown_mean(settings, outcome, at).removesuffix(outcome.unit).strip().partition(" ")
    return Cell(main, interval)
