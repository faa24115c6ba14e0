"""The SimPy engine: a pipeline's stages in one environment, from the first arrival to the end of the last item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ipa.policies import Configuration, StageConfiguration
from ipa.sim import rules
from ipa.sim.events.chain import ChainFlow
from ipa.sim.events.eager import EagerStage
from ipa.sim.events.environment import Environment
from ipa.sim.events.graph import GraphFlow
from ipa.sim.events.language_model import LanguageModelStage
from ipa.sim.events.stage import Later, RunContext, SimPyStage
from ipa.sim.graph import ItemLog, Routes, parents_and_waits, ways_after
from ipa.sim.interface import Handover
from ipa.sim.language_model import TokenRows
from ipa.sim.model import IntArray, RunInput
from ipa.sim.rules import APPLICATION, CLOSING, CONTROL

PIECE = 2**16
"""Results are handed over once the first stage's batches hold this many requests."""


class SimPyEngine:
    """One run of the model. Build it, go through its `steps` once, then read the logs of its stages.

    With `receive`, it hands over what happens piece by piece at control steps, and its logs keep only the rest.
    """

    def __init__(
        self,
        run_input: RunInput,
        initial: Mapping[str, StageConfiguration],
        receive: Callable[[Handover], object] | None = None,
    ) -> None:
        self._receive = receive
        self.world = run_input.world
        self.arrivals_s = run_input.arrivals_s
        self.env = Environment(len(run_input.models))
        self.end_s = run_input.world.duration_s
        self.limits: Mapping[str, int] = run_input.world.limits
        self.routes = Routes.of(run_input)
        arrivals_s = run_input.arrivals_s.tolist()
        hop_s = self.world.hop_s
        self._flow: ChainFlow | GraphFlow
        if self.routes is None:
            self._flow = ChainFlow(self.env, hop_s, self._on_ended)
        else:
            self._flow = GraphFlow(self.env, self.routes, arrivals_s, hop_s, self._on_ended)
        context = RunContext(run_input, self.env, arrivals_s, self._flow)
        self._rows = TokenRows(run_input)
        self.stages = tuple(
            self._create_stage(context, position, initial[name]) for position, name in enumerate(run_input.names)
        )
        self._flow.connect(self.stages)
        parents, waits_s = parents_and_waits(self.routes, len(self.stages))
        for position, stage in enumerate(self.stages):
            after = ways_after(position, parents, waits_s)
            stage.later = [Later(self.stages[way.stage], way.before, way.besides, way.wait_s) for way in after]
        self._entries = (0,) if self.routes is None else self.routes.entries
        self._open = len(run_input.arrivals_s) * len(self._entries)  # items that have not ended

    def _create_stage(self, context: RunContext, position: int, configuration: StageConfiguration) -> SimPyStage:
        if context.run_input.models[position].language:
            request_of = self._flow.request_of if isinstance(self._flow, GraphFlow) else None
            return LanguageModelStage(context, position, configuration, self._rows, request_of)
        kind = EagerStage if self.world.dispatch == "eager" else SimPyStage
        return kind(context, position, configuration)

    def item_log(self, position: int, since: int = 0) -> ItemLog:
        """In a graph, the items of a stage from number `since` on, in the order in which they came."""
        assert isinstance(self._flow, GraphFlow)
        return self._flow.item_log(self.stages[position], since)

    def on_the_way(self) -> IntArray:
        """In a graph, the requests of the items that are on their way to a stage."""
        assert isinstance(self._flow, GraphFlow)
        return np.array(self._flow.on_the_way(), dtype=np.int64)

    @property
    def now_s(self) -> float:
        """The current simulated time."""
        return self.env.now

    def steps(self, control_times_s: Iterator[float]) -> Iterator[float]:
        """Run to the end and stop at each of the times, which must be ascending; yields each time."""
        world = self.world
        arrivals_sum_s = float(self.arrivals_s.sum())
        for position in self._entries:
            self.stages[position].expect(arrivals_sum_s)

        def schedule_next() -> None:
            time_s = next(control_times_s, None)
            if time_s is not None:
                self.env.at(time_s, self.env.priority(CONTROL), self._stand_still)

        schedule_next()
        closing = self.env.priority(CLOSING)
        self.env.at(world.duration_s, closing, self._on_duration_over)
        self.env.at(world.duration_s + world.bound_s, closing, self._close)
        while not self.env.run():
            yield self.env.now
            if len(self.stages[0].batches.requests) >= PIECE:
                self._hand_over()
            schedule_next()
        self.end_s = self.env.now
        self._hand_over()

    def _hand_over(self) -> None:
        """Hand over what has happened, if there is a receiver. Control steps have read it by now."""
        if self._receive is not None:
            for stage in self.stages:
                self._receive(_hand_over(stage, self.env.now))

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> None:
        """Put a decision made now into effect, after the world's decision delay."""
        due_s = self.env.now + self.world.decision_delay_s
        if self.world.drop != "deadline":
            application = (configuration, None, self.limits)
            self.env.at(due_s, self.env.priority(APPLICATION), self._on_application, application)
            return
        # Stages read each other's state, so the events that one application makes due now come before the next one.
        for stage in self.stages:
            priority = self.env.priority(APPLICATION, stage.position)
            self.env.at(due_s, priority, self._on_application, (configuration, stage, self.limits))

    def _on_application(
        self, application: tuple[Configuration, SimPyStage | None, Mapping[str, int]], now_s: float
    ) -> None:
        configuration, only, limits = application
        if limits and only in (None, self.stages[0]):
            self._set_budgets(limits, configuration, now_s)
        for stage in self.stages if only is None else (only,):
            stage.configure(configuration[stage.model.name], now_s)

    def _set_budgets(self, limits: Mapping[str, int], configuration: Configuration, now_s: float) -> None:
        """Divide the limits among the stages, for this decision."""
        desired = [configuration[stage.model.name] for stage in self.stages]
        budgets = {
            resource: rules.budgets_within(
                limit,
                [stage.replicas.taken(resource, now_s) for stage in self.stages],
                [
                    configured.replicas * stage.model.taken(resource, configured.variant, configured.cores)
                    for stage, configured in zip(self.stages, desired, strict=True)
                ],
            )
            for resource, limit in limits.items()
        }
        for position, stage in enumerate(self.stages):
            stage.replicas.budgets = {resource: by_stage[position] for resource, by_stage in budgets.items()}

    def _on_ended(self, items: int) -> None:
        self._open -= items
        if self._open == 0 and self.env.now > self.world.duration_s:
            self.env.at(self.env.now, self.env.priority(CLOSING), self._close)

    def _on_duration_over(self, _: Any, now_s: float) -> None:
        if self._open == 0:
            self._close(None, now_s)

    def _stand_still(self, _: Any, __: float) -> None:
        """Stop the run at a control step."""
        self.env.stop(False)

    def _close(self, _: Any, __: float) -> None:
        """End the run."""
        self.env.stop(True)


def _hand_over(stage: SimPyStage, before_s: float) -> Handover:
    """What has happened at a stage since the last handover; the stage discards it."""
    # Batches that wait at a replica may return to the queue, so they need places before the head.
    at_replicas = sum(len(batch.requests) for replica in stage.replicas.existing for batch in replica.waiting)
    gone = stage.head - at_replicas
    del stage.queue[:gone], stage.enqueued_s[:gone]
    stage.head -= gone
    stage.past += gone
    batches = stage.batches.hand_over()
    variant = stage.replicas.variant_numbers()[batches.replica]
    return Handover(stage.position, before_s, batches, variant, stage.drops.hand_over())
