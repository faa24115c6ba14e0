"""Whether the same was decided: on the same observations, and in closed loop, where each world saw its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ipa.policies import Configuration, Entry, StageConfiguration, mix_of, replay_journal
from ipa.studies.runs import Prepared, guarded
from ipa.studies.scenario import Scenario
from ipa.studies.validation.windows import FloatArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Agreement:
    """How many of how many decisions were equal."""

    equal: int
    total: int

    @property
    def percent(self) -> float:
        """The share of equal ones; NaN where there were no decisions."""
        return 100.0 * self.equal / self.total if self.total else float("nan")

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.equal + other.equal, self.total + other.total)


def on_same_observations(entries: Sequence[Entry], scenario: Scenario, prepared: Prepared) -> Agreement:
    """A recorded journal against the scenario's policy, asked again on each of its observations (law L10)."""
    policy = guarded(prepared.policy, scenario, prepared.pipeline)
    replayed = replay_journal(prepared.pipeline, policy, entries)
    equal = [
        one.decision.configuration == two.decision.configuration for one, two in zip(entries, replayed, strict=True)
    ]
    return Agreement(sum(equal), len(equal))


def in_closed_loop(live: pd.DataFrame, simulated: pd.DataFrame, interval_s: float) -> Agreement:
    """The decisions of two runs at the same control steps, from the tables `decisions`.

    What stood ready at the start does not count. A step that only one of them took, or in which one was refused, counts
    as unequal.
    """
    ours, theirs = (
        {round(time_s / interval_s): wanted for time_s, wanted in decided(table)[1:]} for table in (live, simulated)
    )
    steps = ours.keys() | theirs.keys()
    return Agreement(sum(ours.get(step) == theirs.get(step) for step in steps), len(steps))


def decided(decisions: pd.DataFrame) -> list[tuple[float, Configuration]]:
    """When each configuration came into force, in order, from the table `decisions`; first the one at the start.

    A refused decision does not count: the configuration before it stayed in force.
    """
    found: dict[int, tuple[float, dict[str, StageConfiguration]]] = {}
    for row in accepted(decisions).to_dict("records"):
        _, configuration = found.setdefault(int(row["step"]), (float(row["time_s"]), {}))
        stage, part = str(row["stage"]), _wanted(row)
        before = configuration.get(stage)  # another variant of a mix
        configuration[stage] = part if before is None else mix_of([*before.parts, part])
    return [found[step] for step in sorted(found)]


def accepted(decisions: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table `decisions` that were put in force."""
    kept: pd.DataFrame = decisions[decisions["accepted"]]
    return kept


def _wanted(row: Mapping[object, object]) -> StageConfiguration:
    return StageConfiguration(
        variant=str(row["variant"]),
        batch=int(str(row["batch"])),
        replicas=int(str(row["replicas"])),
        batch_timeout_s=float(str(row["batch_timeout_s"])),
        cores=int(str(row["cores"])),
        share=float(str(row.get("share", 1.0))),
    )


GRID_S = 0.1
"""The time between two moments at which numbers of replicas are compared."""


def replicas_alike_percent(
    live: Sequence[pd.DataFrame], simulated: pd.DataFrame, duration_s: float
) -> dict[str, float]:
    """Stage -> the share of the time in which equally many replicas were ready in both; the mean over live runs."""
    moments_s = np.arange(0.0, duration_s, GRID_S)
    return {
        str(stage): 100.0
        * float(np.mean([ready_at(run, stage, moments_s) == ready_at(simulated, stage, moments_s) for run in live]))
        for stage in simulated["stage"].cat.categories
    }


def ready_at(replicas: pd.DataFrame, stage: str, moments_s: FloatArray) -> NDArray[np.int64]:
    """How many replicas of a stage are ready at each moment, from the table `replicas`; shape of `moments_s`."""
    own = replicas[(replicas["stage"] == stage) & replicas["ready_s"].notna()]
    came_s, went_s = (np.sort(own[name].dropna().to_numpy(dtype=np.float64)) for name in ("ready_s", "removed_s"))
    ready = np.searchsorted(came_s, moments_s, side="right") - np.searchsorted(went_s, moments_s, side="right")
    return np.asarray(ready, dtype=np.int64)
