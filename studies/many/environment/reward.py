"""What a step is worth: the objective that IPA maximises, less what violations of the SLA cost.

    reward = objective(configuration) - PENALTY x violations / arrivals

The objective is alpha x accuracy - beta x cores - gamma x batch sizes of the configuration that was in force, with the
pipeline's own weights, and violations and arrivals are those of the step. A violation is a request that finishes later
than the SLA after it arrived, or that is dropped; it counts in the step in which that happens.
"""

from __future__ import annotations

import numpy as np

from ipa.sim import Engine

PENALTY = 10.0
"""Of a step in which as many requests violate the SLA as arrive."""


class Violations:
    """Counts violations while an engine runs."""

    def __init__(self, engine: Engine, sla_s: float) -> None:
        self._engine = engine
        self._sla_s = sla_s
        self._batches = 0
        self._dropped = 0
        self._late_s = np.empty(0)

    def step(self, now_s: float) -> int:
        """How many requests have violated the SLA since the last call."""
        last = self._engine.stages[-1]
        fresh = last.batch_log(self._batches)
        self._batches += len(fresh.size)
        finish_s = np.repeat(fresh.finish_s, fresh.size)
        is_late = finish_s - self._engine.arrivals_s[fresh.requests] > self._sla_s
        # A batch is in the log from its start on, and may finish later.
        late_s = np.concatenate([self._late_s, finish_s[is_late]])
        self._late_s = late_s[late_s > now_s]
        dropped = sum(stage.dropped for stage in self._engine.stages)
        found = len(late_s) - len(self._late_s) + dropped - self._dropped
        self._dropped = dropped
        return found

    def unfinished(self) -> int:
        """How many requests the engine has left unfinished, at its end."""
        stages = self._engine.stages
        return len(self._engine.arrivals_s) - stages[-1].completions - sum(stage.dropped for stage in stages)
