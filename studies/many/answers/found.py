"""Everything that a table of runs says: what pages, notebooks and programs are made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ipa.studies.many.answers.differences import Differences, best, differences
from ipa.studies.many.answers.front import Front, front
from ipa.studies.many.answers.headline import sentences
from ipa.studies.many.answers.outcome import Outcome
from ipa.studies.many.answers.sensitivity import Ranking, rank
from ipa.studies.many.answers.settings import Settings, over_loads


@dataclass(frozen=True, repr=False)
class Found:
    """What a table of runs says; `all_settings` has every key, loads included."""

    title: str
    all_settings: Settings

    @cached_property
    def settings(self) -> Settings:
        """The settings that one chooses among, over all loads; all settings where there is nothing to choose."""
        return over_loads(self.all_settings) or self.all_settings

    @property
    def are_compared(self) -> bool:
        """Whether settings met the same loads, so that they can be compared."""
        return over_loads(self.all_settings) is not None

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What was asked."""
        return self.all_settings.outcomes

    @cached_property
    def winners(self) -> list[Differences]:
        """For each outcome, all settings less the best one."""
        if not self.are_compared:
            return []
        found = [(outcome, best(self.settings, outcome)) for outcome in self.outcomes]
        return [differences(self.settings, outcome, place) for outcome, place in found if place is not None]

    @cached_property
    def rankings(self) -> list[Ranking]:
        """For each outcome, the keys in the order of how much they matter; without those where this cannot be said."""
        found = (rank(self.settings, outcome) for outcome in self.outcomes)
        return [each for each in found if each is not None]

    @cached_property
    def fronts(self) -> list[Front]:
        """The Pareto front of the first two outcomes, and of the first three; not where the third tells none apart."""
        if not self.are_compared or len(self.settings) < 2:
            return []
        asked = self.outcomes
        counts = [2] if len(asked) >= 2 else []
        if len(asked) >= 3 and self.settings.differs(asked[2]):
            counts.append(3)
        return [front(self.settings, asked[:count]) for count in counts]

    @property
    def headline(self) -> list[str]:
        """What was found, in sentences."""
        same = [] if self.are_compared else [each for each in self.outcomes if not self.all_settings.differs(each)]
        return list(sentences(self.settings, self.rankings, self.winners, self.are_compared, same))

    @property
    def ran(self) -> str:
        """What was run, in words."""
        whole = self.all_settings
        loads = len(whole) // len(self.settings)
        on = f" on {loads:,} loads" if loads > 1 else ""
        failed = f"; {whole.failed:,} more failed" if whole.failed else ""
        runs, settings, seeds = _count(whole.runs, "run"), _count(len(self.settings), "setting"), len(whole.seeds)
        return f"{runs}: {settings}{on} with {_count(seeds, 'seed')}{failed}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
