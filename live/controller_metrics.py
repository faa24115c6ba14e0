"""The controller's own metrics for Prometheus: what was observed, forecast, decided, and how long deciding took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan, prod

from live.errors import LiveError
from live.plane import LOOPBACK
from live.serving.metrics import ProcessMetrics
from live.view import View
from policies import Entry
from profiles import Pipeline

STATES = ("starting", "ready", "draining")


class ControllerMetrics:
    """Kept up to date by the entries of the journal and by views of the run."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.of_process = ProcessMetrics("controller", pipeline.name, pipeline.sla_s)
        self._latest_step: int | None = None
        self._failed: dict[tuple[str, str], int] = {}

    def step(self, entry: Entry, decision_s: float) -> None:
        """One control step more."""
        metrics, decision, observation = self.of_process, entry.decision, entry.observation
        metrics.of("ipa_decision_seconds").observe(decision_s)
        metrics.of("ipa_decisions_total", rung=decision.rung).inc()
        if self._latest_step is not None:
            metrics.of("ipa_steps_skipped_total").inc(observation.step - self._latest_step - 1)
        self._latest_step = observation.step
        samples = [count for count in observation.load_rps if not isnan(count)]
        if not samples:
            metrics.of("ipa_holds_total").inc()
        metrics.of("ipa_observed_load_rps").set(observation.load_rps[-1])
        for name, value in (("forecast", decision.forecast_rps), ("planned", decision.planned_load_rps)):
            metrics.of(f"ipa_{name}_load_rps").set(float("nan") if value is None else value)
        wanted = decision.configuration
        for stage in self._pipeline.stages:
            for variant in stage.variants:
                chosen = wanted[stage.name].variant == variant.name
                desired = wanted[stage.name].replicas if chosen else 0
                metrics.of("ipa_desired_replicas", stage=stage.name, variant=variant.name).set(desired)
        metrics.of("ipa_desired_cores").set(sum(each.total_cores for each in wanted.values()))
        accuracies = (self._pipeline.stage(name).variant(each.variant).accuracy for name, each in wanted.items())
        metrics.of("ipa_planned_accuracy_ratio").set(prod(accuracies))

    def view(self, view: View) -> None:
        """How things stand."""
        self.of_process.of("ipa_existing_cores").set(view.cores)
        for stage in self._pipeline.stages:
            seen = view.stages[stage.name]
            for variant in stage.variants:
                counts = seen.replicas.get(variant.name)
                for state in STATES:
                    gauge = self.of_process.of("ipa_replicas", stage=stage.name, variant=variant.name, state=state)
                    gauge.set(0 if counts is None else getattr(counts, state))
            for variant_name, failures in seen.failures.items():
                key = stage.name, variant_name
                counter = self.of_process.of("ipa_replica_failures_total", stage=stage.name, variant=variant_name)
                counter.inc(failures - self._failed.get(key, 0))
                self._failed[key] = failures


@contextmanager
def serving(
    port: int | None, pipeline: Pipeline
) -> Iterator[tuple[Callable[[Entry, float], object], Callable[[View], object]]]:
    """Serve the metrics on a loopback port while the block lasts; what to call with entries and with views.

    None: none are served. Raises LiveError for a port that is taken.
    """
    if port is None:
        yield (lambda *_: None), (lambda _: None)
        return
    from prometheus_client import start_http_server

    metrics = ControllerMetrics(pipeline)
    try:
        server, thread = start_http_server(port, LOOPBACK, registry=metrics.of_process.registry)
    except OSError as error:
        raise LiveError(f"--metrics-port {port}: {error.strerror}") from None
    try:
        yield metrics.step, metrics.view
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
