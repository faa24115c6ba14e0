"""All answers from a table of runs, as tables, figures and a page, for notebooks and programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.studies.displayed import Displayed
from ipa.studies.many.answers.demand import ACCURACY, COST, LATE, Demand, demand_for
from ipa.studies.many.answers.differences import Differences, Front, as_table, best, differences, front
from ipa.studies.many.answers.headline import sentences
from ipa.studies.many.answers.outcome import USUAL, Outcome, find
from ipa.studies.many.answers.recommendation import MEAN_LATE, Recommendation, listed, meeting, recommend
from ipa.studies.many.answers.settings import ComparedSettings, over_loads, read, varied
from ipa.studies.runs.results import why_no_table
from ipa.studies.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class TableAnswers:
    """The answers from a table of runs; `all_settings` has every key, including those of loads.

    A setting that does not meet the `demand`, or knows the load to come, is never called the best.
    """

    title: str
    all_settings: ComparedSettings
    where: str = ""
    demand: Demand = field(default_factory=demand_for)

    @property
    def question(self) -> str:
        """The question: pipeline and load if all runs have the same, else the title; and the keys varied."""
        keys = [key.title for key in self.all_settings.keys]
        varied = ", ".join(keys) if len(keys) <= MOST_NAMED else f"{len(keys)} keys"
        return f"{self.where or self.title}: {varied} varied"

    @cached_property
    def settings(self) -> ComparedSettings:
        """The settings to choose among, over all loads; all settings if there is nothing to choose."""
        return over_loads(self.all_settings) or self.all_settings

    @property
    def are_compared(self) -> bool:
        """Whether settings ran on the same loads, so that they can be compared."""
        return over_loads(self.all_settings) is not None

    @cached_property
    def choices(self) -> ComparedSettings:
        """The settings that may be chosen: all but those that know the load to come, unless there are no others."""
        places = np.flatnonzero(~self.settings.is_bound)
        return self.settings.only(places) if len(places) else self.settings

    @cached_property
    def kept(self) -> ComparedSettings:
        """The settings that meet the demand."""
        return self.settings.only(meeting(self.settings, self.demand))

    def recommend(self, late_at_most: float | None = None) -> Recommendation | None:
        """Which setting to take, with another limit on late requests if one is given.

        None if there is nothing to choose, or the table lacks a figure that is needed.
        """
        return recommend(self.settings, self.demand.with_late(late_at_most)) if self.are_compared else None

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes asked for."""
        return self.all_settings.outcomes

    @cached_property
    def winners(self) -> list[Differences]:
        """For each outcome, the differences of the settings that meet the demand from the best of them."""
        if not self.are_compared:
            return []
        bests = [(outcome, best(self.kept, outcome)) for outcome in self.outcomes]
        return [differences(self.kept, outcome, place) for outcome, place in bests if place is not None]

    @cached_property
    def fronts(self) -> list[Front]:
        """The Pareto front of the first two outcomes, and of the first three if settings differ in the third."""
        if not self.are_compared or len(self.choices) < 2:
            return []
        outcomes = self.outcomes
        counts = [2] if len(outcomes) >= 2 else []
        if len(outcomes) >= 3 and self.choices.differs(outcomes[2]):
            counts.append(3)
        return [front(self.choices, outcomes[:count]) for count in counts]

    @property
    def headline(self) -> list[str]:
        """The findings, in sentences."""
        same = (
            []
            if self.are_compared
            else [outcome for outcome in self.outcomes if not self.all_settings.differs(outcome)]
        )
        settings = self.kept if self.winners else self.settings
        return [*self._left_out(), *sentences(settings, self.winners, self.are_compared, same)]

    def _left_out(self) -> Iterator[str]:
        if not self.are_compared:
            return
        bounds = np.flatnonzero(self.settings.is_bound).tolist()
        if bounds:
            names = listed([self.settings.title(place) for place in bounds])
            yield f"Bounds, as they know the load to come, and compared with none of the others: {names}."
        choices = len(self.settings) - len(bounds)
        out = choices - len(self.kept)
        if out:
            how_many = f"{out:,} of {choices:,} settings {'does' if out == 1 else 'do'} not keep {self.demand.text}"
            unknown = int(np.isnan(self.choices.means.get(LATE.column, np.zeros(1))).sum())
            why = f" ({unknown:,} for want of a figure)" if unknown else ""
            yield f"{how_many}{why}, and none of these is called the best or counted among its others."

    @property
    def ran(self) -> str:
        """The number of runs, settings, loads and seeds, in words."""
        whole = self.all_settings
        loads = len(whole) // len(self.settings)
        on = f" on {loads:,} loads" if loads > 1 else ""
        failed = f"; {whole.failed:,} more failed" if whole.failed else ""
        runs, settings, seeds = _count(whole.runs, "run"), _count(len(self.settings), "setting"), len(whole.seeds)
        return f"{runs}: {settings}{on} with {_count(seeds, 'seed')}{failed}"


MOST_NAMED = 5
"""The most keys that a title names; for more it gives their number."""


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


NAMES = ("pipeline", "setting", "workload", "system", "point")
"""Columns of a study's table that may distinguish settings, besides the keys of a scenario."""

NOT_KEYS = ("schema_version", "kind", "seed", "engine", "records", "journal")
"""Keys of a scenario that do not affect what is simulated."""


def keys_of(table: pd.DataFrame) -> tuple[str, ...]:
    """The columns that are keys and vary: names of a study, and keys of a scenario (`policy.alpha`, `scale`)."""
    undotted = [*NAMES, *(key for key in Scenario.model_fields if key not in NOT_KEYS)]
    dotted = [name for name in table.columns if name.partition(".")[0] in Scenario.model_fields and "." in name]
    return varied(table, [name for name in table.columns if name in undotted or name in dotted])


def answer(
    table: pd.DataFrame,
    keys: Sequence[str] | None = None,
    outcomes: Sequence[str | Outcome] | None = None,
    *,
    title: str = "Runs",
    late_at_most: float | None = None,
    goal: Mapping[str, Any] | None = None,
    demand: Demand | None = None,
) -> Answers:
    """The answers from a table with a row for every run, and columns of keys, of outcomes and `seed`.

    `keys` (default: all that vary, see `keys_of`) distinguish settings; `outcomes` (default: cost, PAS and SLA
    violations) are columns of a run's summary, or any others as an `Outcome`. Rows with an `error` are left out and
    counted. A setting that does not keep `goal`, as a scenario has it, or has a larger share of late requests in any
    hour than `late_at_most` (default: the goal's, or 0.01), is never called the best; `demand`: both of them, and
    whatever else is asked, as a value. Raises ScenarioError for missing columns, no finished run, or two runs that no
    key distinguishes, and PolicyError for a malformed goal.
    """
    demand = demand_for(late_at_most, goal) if demand is None else demand.with_late(late_at_most)
    columns = list(table.columns)
    chosen_outcomes = tuple(name for name in USUAL if name in columns) if outcomes is None else outcomes
    chosen = keys_of(table) if keys is None else tuple(keys)
    if not chosen:
        raise ScenarioError("no key varies in the table, so that there is nothing to compare")
    named = [table[name].dropna().unique() for name in ("pipeline", "trace") if name in table and name not in chosen]
    where = " on ".join(str(names[0]) for names in named if len(names) == 1)
    further = (COST.column, ACCURACY.column, MEAN_LATE.column, LATE.column, *demand.columns)
    return Answers(title, read(table, chosen, find(chosen_outcomes, columns), further), where, demand)


def read_answers(path: str | Path, *, title: str = "", demand: Demand | None = None) -> Answers:
    """The answers from the table of runs in a parquet file, with default keys and outcomes (see `answer`).

    `demand`: what is asked; by default, at most 1 % late. `title`: by default the file's name. Raises ScenarioError as
    `answer`, and for a file that is not such a table.
    """
    import pandas as pd

    path = Path(path)
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise ScenarioError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: {why_no_table(error)}") from None
    try:
        return answer(table, title=title or path.stem, demand=demand)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


@dataclass(frozen=True, repr=False)
class Answers(Displayed, TableAnswers):
    """The answers from a table of runs, as tables, figures and a page."""

    PAGE = "answers"

    def differences(self, outcome: str | Outcome, against: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """One row a setting: the outcome's mean, and its difference from one setting (default: the best of those that
        meet the demand, else of all), by seed.

        `low` and `high` are the ends of simultaneous 95 % intervals for all settings; `shown` is "better", "worse", or
        "not shown". Raises ScenarioError for an unknown setting or outcome, or if settings ran on different loads.
        """
        chosen = self._outcome(outcome)
        if not self.are_compared:
            raise ScenarioError("the settings met different loads, and so cannot be compared")
        place = self._best(chosen) if against is None else self.settings.find(against)
        if place is None:
            raise ScenarioError(f"{chosen.column}: no run has it")
        return as_table(self.settings, differences(self.settings, chosen, place))

    def front(self, *outcomes: str | Outcome) -> pd.DataFrame:
        """The settings on the Pareto front of two or three outcomes, in order of the first: means and `on_front`.

        `on_front` is the share of bootstrap draws of the seeds in which the setting is on the front, NaN for fewer than
        three seeds. Raises ScenarioError for another number of outcomes.
        """
        import pandas as pd

        front = self._front(outcomes)
        settings, places = self.choices, front.places.tolist()
        places.sort(key=lambda place: float(settings.means[front.outcomes[0].column][place]))
        rows = []
        for place in places:
            row: dict[str, object] = {
                key.name: None if code < 0 else key.levels[code]
                for key, code in zip(settings.keys, settings.codes[place].tolist(), strict=True)
            }
            row |= {outcome.column: float(settings.means[outcome.column][place]) for outcome in front.outcomes}
            rows.append({**row, "on_front": float("nan") if front.share is None else float(front.share[place])})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        recommendation = self.recommend()
        first = [] if recommendation is None else recommendation.sentences[:1]
        return "\n  ".join([f"{self.title}: {self.ran}", *first, *self.headline])

    def _outcome(self, outcome: str | Outcome) -> Outcome:
        by_column = {own.column: own for own in self.outcomes}
        column = outcome if isinstance(outcome, str) else outcome.column
        if column not in by_column:
            raise ScenarioError(f"{column}: is none of the outcomes asked for; allowed: {', '.join(by_column)}")
        return by_column[column]

    def _best(self, outcome: Outcome) -> int | None:
        place = best(self.kept, outcome)
        if place is None:
            return best(self.settings, outcome)
        return int(meeting(self.settings, self.demand)[place])

    def _front(self, outcomes: Sequence[str | Outcome]) -> Front:
        if len(outcomes) not in (2, 3):
            raise ScenarioError(f"a front is of two or three outcomes; given {len(outcomes)}")
        if not self.are_compared:
            raise ScenarioError("the settings met different loads, and so cannot be compared")
        return front(self.choices, [self._outcome(outcome) for outcome in outcomes])
