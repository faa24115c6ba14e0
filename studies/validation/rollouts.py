"""How long replicas took to start and to stop, and stages to reach what was decided, from the tables of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.studies.validation.agreement import decided
from ipa.studies.validation.measures import Tables
from ipa.studies.validation.verdicts import plain
from ipa.studies.validation.windows import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from ipa.policies import StageConfiguration

KINDS = {"start_up": "start-up", "rollout": "rollout", "stop": "stop"}


@dataclass(frozen=True)
class Durations:
    """Of one kind, at one stage: how many were seen, and how long they took [s]; NaN where none was seen."""

    count: int
    mean_s: float
    longest_s: float

    @classmethod
    def of(cls, values_s: FloatArray) -> Durations:
        """Over those that came to an end."""
        values_s = values_s[np.isfinite(values_s)]
        if not len(values_s):
            return cls(0, float("nan"), float("nan"))
        return cls(len(values_s), float(values_s.mean()), float(values_s.max()))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; NaN is null."""
        return {"count": self.count, "mean_s": plain(self.mean_s), "longest_s": plain(self.longest_s)}


@dataclass(frozen=True)
class Took:
    """What took how long at a stage, live and in the simulations with the live decisions, whose rollouts are the same.

    `kind`: `start_up`, from a replica's creation until it is ready; `rollout`, from a decision that changes variant,
    replicas or cores until all replicas are ready and no others are left that serve; `stop`, from a replica's removal
    until it is gone.
    """

    stage: str
    kind: str
    live: Durations
    simulated: Durations

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "stage": self.stage,
            "kind": self.kind,
            "live": self.live.as_dict(),
            "simulated": self.simulated.as_dict(),
        }


def compare_rollouts(live: Sequence[Tables], open_loop: Sequence[Tables], stages: Sequence[str]) -> list[Took]:
    """One row per stage and kind; the runs of each world are pooled."""
    found = []
    for stage in stages:
        worlds = [
            _durations(stage, [(run["decisions"], tables["replicas"]) for run, tables in zip(live, of, strict=True)])
            for of in (live, open_loop)
        ]
        found += [Took(stage, kind, *(Durations.of(world[kind]) for world in worlds)) for kind in KINDS]
    return found


def _durations(stage: str, runs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> Mapping[str, FloatArray]:
    start_ups_s, rollouts_s, stops_s = [], [], []
    for decisions, replicas in runs:
        own = replicas[replicas["stage"] == stage]
        fresh = own[own["created_s"] > 0.0]
        start_ups_s.append((fresh["ready_s"] - fresh["created_s"]).to_numpy(dtype=np.float64))
        stops_s.append((own["gone_s"] - own["removed_s"]).to_numpy(dtype=np.float64))
        wanted = [(time_s, configuration[stage]) for time_s, configuration in decided(decisions)]
        rollouts_s.append(rollouts(wanted, own))
    return {
        "start_up": np.concatenate(start_ups_s),
        "rollout": np.concatenate(rollouts_s),
        "stop": np.concatenate(stops_s),
    }


def rollouts(wanted: Sequence[tuple[float, StageConfiguration]], replicas: pd.DataFrame) -> FloatArray:
    """Per decision that changed a stage's variant, replicas or cores, how long its rollout took [s].

    `wanted`: the decisions, what stood at the start first; `replicas`: those of the stage. NaN for a rollout that the
    next change, or the end of the run, came before.
    """
    changes = [wanted[0]]
    for time_s, configuration in wanted[1:]:
        if _serving(configuration) != _serving(changes[-1][1]):
            changes.append((time_s, configuration))
    ends_s = [time_s for time_s, _ in changes[1:]] + [np.inf]
    spans = zip(changes[1:], ends_s[1:], strict=True)
    return np.array([_rollout_s(replicas, *change, end_s) for change, end_s in spans], dtype=np.float64)


def _rollout_s(replicas: pd.DataFrame, since_s: float, wanted: StageConfiguration, until_s: float) -> float:
    created_s, ready_s, removed_s = (
        replicas[name].fillna(np.inf).to_numpy(dtype=np.float64) for name in ("created_s", "ready_s", "removed_s")
    )
    there = (created_s < until_s) & (removed_s > since_s)
    stays = there & (removed_s >= until_s)
    serving = Counter(zip(replicas["variant"][stays], replicas["cores"][stays].astype(int), strict=True))
    is_done = serving == _serving(wanted) and (ready_s[stays] < until_s).all()
    if not is_done:
        return float("nan")
    moments_s = np.concatenate([[since_s], ready_s[stays], removed_s[there & ~stays]])
    return float(moments_s.max() - since_s)


def _serving(configuration: StageConfiguration) -> Counter[tuple[str, int]]:
    """What a rollout is about, replicas by variant and cores: batches and their timeouts change at once."""
    return Counter({(part.variant, part.cores): part.replicas for part in configuration.parts})
