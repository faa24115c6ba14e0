"""Observations and actions as arrays of numbers, for whoever learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ipa.policies import Configuration, Observation, StageConfiguration
from ipa.profiles import Pipeline

Vector = npt.NDArray[np.float32]

WINDOWS = 6
WINDOW_S = 10
"""An observation holds the mean load of the last windows, newest last."""

OF_STAGE = 6
"""Numbers of a stage: queue, in service, ready and starting replicas, wanted replicas, cores of all wanted ones."""

LARGEST = 1e6
"""No number of an observation is larger."""

LONGEST_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Encoding:
    """How a pipeline's observations and configurations are written as arrays.

    An observation is `WINDOWS` loads [rps], then `OF_STAGE` numbers of each stage, then for each stage a one-hot vector
    of its wanted variant and its wanted batch. An action is three whole numbers for each stage: variant, batch (the
    position in `batches`) and replicas less one, up to `most_replicas`.
    """

    pipeline: Pipeline
    batches: tuple[int, ...]
    most_replicas: int

    @property
    def action_sizes(self) -> list[int]:
        """How many values each number of an action has."""
        return [
            size
            for stage in self.pipeline.stages
            for size in (len(stage.variants), len(self.batches), self.most_replicas)
        ]

    @property
    def observation_size(self) -> int:
        """How many numbers an observation has."""
        names = sum(len(stage.variants) + len(self.batches) for stage in self.pipeline.stages)
        return WINDOWS + OF_STAGE * len(self.pipeline.stages) + names

    def observation(self, seen: Observation) -> Vector:
        """An observation as an array, shape (observation_size,); seconds without a sample count as no load."""
        loads = np.nan_to_num(np.array(seen.load_rps[-WINDOWS * WINDOW_S :], dtype=np.float64))
        loads = np.concatenate([np.zeros(WINDOWS * WINDOW_S - len(loads)), loads]).reshape(WINDOWS, WINDOW_S)
        numbers: list[float] = loads.mean(axis=1).tolist()
        for stage in self.pipeline.stages:
            at = seen.stages[stage.name]
            ready = sum(counts.ready for counts in at.replicas.values())
            starting = sum(counts.starting for counts in at.replicas.values())
            wanted = at.configuration
            numbers += [at.queue_length, at.in_service, ready, starting, wanted.replicas, wanted.total_cores]
        for stage in self.pipeline.stages:
            wanted = seen.stages[stage.name].configuration
            numbers += [float(variant.name == wanted.variant) for variant in stage.variants]
            numbers += [float(batch == wanted.batch) for batch in self.batches]
        found: Vector = np.minimum(np.array(numbers), LARGEST).astype(np.float32)
        return found

    def configuration(self, action: Sequence[int] | npt.NDArray[np.integer], load_rps: float) -> Configuration:
        """What an action asks for; a batch waits for as long as it takes to fill at this load, at most 1 s."""
        chosen = {}
        for place, stage in enumerate(self.pipeline.stages):
            variant = stage.variants[int(action[3 * place])]
            batch = self.batches[int(action[3 * place + 1])]
            replicas = int(action[3 * place + 2]) + 1
            fill_s = (batch - 1) / load_rps if load_rps > 0 else LONGEST_TIMEOUT_S
            chosen[stage.name] = StageConfiguration(
                variant.name, batch, replicas, min(fill_s, LONGEST_TIMEOUT_S), variant.base_cores
            )
        return chosen
