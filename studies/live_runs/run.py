"""`run_live(scenario) -> LiveRun`: a scenario on real servers, with the tables and figures of a simulated run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ipa import traces
from ipa.live.errors import LiveError
from ipa.policies import Configuration, Controller, Journal, OptimisingPolicy, check_configuration, describe, reads
from ipa.sim import LoadView, Opening, rules, stream, summarise
from ipa.studies.errors import ScenarioError
from ipa.studies.run import Prepared, Run, guarded, prepare
from ipa.studies.scenario import Scenario

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from ipa.live.deadline import Deadline
    from ipa.live.load import Sent
    from ipa.live.plane import Plane
    from ipa.live.run import Finished
    from ipa.live.view import View
    from ipa.studies.live_runs.cluster import Cluster

NEEDED = ("aiohttp", "orjson", "prometheus_client", "uvloop")

LONGEST_DECISION_S = 5.0

SOURCES = ("gateway", "prometheus")


@dataclass(frozen=True)
class Live:
    """How a scenario runs live; what is no property of the scenario.

    `duration_s`: at most so much of the load. `decision_timeout_s` None: the interval, at most 5 s. `port`: the
    gateway's for clients, `control_port`: that of its control API and metrics, 0 for any. `metrics_port`: of the
    controller's own metrics, None for none, at the address `metrics_host`. `state`: a file that holds the journal at
    every moment, from which a controller goes on. `cluster` None: on this machine. `prometheus_match`: label matchers
    that choose the gateway's series besides the pipeline's name.
    """

    duration_s: float | None = None
    source: str = "gateway"
    prometheus: str | None = None
    advise: bool = False
    decision_timeout_s: float | None = None
    port: int = 0
    control_port: int = 0
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    state: Path | None = None
    cluster: Cluster | None = None
    prometheus_match: tuple[str, ...] = ()

    @property
    def backend(self) -> str:
        """What it runs on, in a word."""
        return "loopback" if self.cluster is None else "kubernetes"


@dataclass(frozen=True)
class LiveRun(Run):
    """A finished live run: as a simulated one, what the load generator sent, and the facts of the live world."""

    sent: Sent
    live: Mapping[str, Any]

    @property
    def ended(self) -> str:
        """Why the run ended early; empty where it did not."""
        return str(self.live["ended"])

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """As of a simulated run, and `load`: what the load generator saw (see `load_table`)."""
        return {**super().tables, "load": load_table(self.sent)}

    @property
    def further(self) -> Mapping[str, Any]:
        """The facts of the live world."""
        return {"live": dict(self.live)}


def check_installed() -> None:
    """Raise LiveError where the libraries of live mode are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise LiveError(f"live mode needs {', '.join(missing)}: pip install 'ipa-pipelines[live]'")


def run_live(
    scenario: Scenario,
    live: Live,
    on_view: Callable[[View], object] = lambda _: None,
) -> LiveRun:
    """Run a scenario on processes of this machine, until its load is over or SIGINT ends it.

    Raises as `ipa.studies.run.prepare`, LiveError for what a live run cannot have, and live.errors.RunError where the
    processes do not come up.
    """
    check_installed()
    started_s = perf_counter()
    prepared = prepare(scenario)
    check_live(scenario, live, prepared)
    if live.duration_s is not None and live.duration_s < prepared.trace.duration_s:
        prepared = replace(prepared, trace=prepared.trace.window([(0.0, live.duration_s)]))
    with journal_of(live.state) as journal:
        loop = _control_loop(scenario, live, prepared, journal)
        finished = _run(scenario, live, prepared, loop, on_view)
    entries = tuple(journal.entries[loop.earlier :])
    pipeline, trace = prepared.pipeline, prepared.trace
    figures = summarise(pipeline, finished.records, loop.initial, entries, prepared.sla_s, scenario.price_per_core)
    summary = {
        "pipeline": pipeline.name,
        "policy": scenario.policy.name,
        "trace": trace.name,
        "seed": scenario.seed,
        "engine": "live",
        "records": "all",
        **figures,
        "wall_s": perf_counter() - started_s,
    }
    return LiveRun(
        scenario=scenario,
        pipeline=pipeline,
        trace=trace,
        policy=describe(prepared.policy),
        initial=loop.initial,
        entries=entries,
        records=finished.records,
        summary=summary,
        decisions_reused=prepared.policy.answers.hit_rate if isinstance(prepared.policy, OptimisingPolicy) else None,
        sent=finished.sent,
        live=_facts(live, loop, finished),
    )


@dataclass(frozen=True)
class _Loop:
    """The control loop of a run: what decides, on which load, and what stands ready before it decides.

    `earlier` entries were in the journal already, of a controller that this one goes on from.
    """

    controller: Controller
    deadline: Deadline
    journal: Journal
    earlier: int
    initial: Configuration
    arrivals_s: npt.NDArray[np.float64]
    history_rps: tuple[float, ...]


def _control_loop(scenario: Scenario, live: Live, prepared: Prepared, journal: Journal) -> _Loop:
    trace, pipeline = prepared.trace, prepared.pipeline
    arrivals_s = traces.arrivals(trace, scenario.arrivals, stream(scenario.seed, "arrivals"))
    view = LoadView(arrivals_s, trace.history_counts.astype(float), scenario.history_s, trace.duration_s)
    deadline = deadline_of(scenario, prepared, live.decision_timeout_s)
    earlier = len(journal.entries)
    memory = journal.entries[-1].decision.memory if earlier else {}
    controller = Controller(pipeline, deadline, journal, memory)
    if earlier:
        latest = journal.entries[-1]
        initial = latest.observation.configuration if latest.is_refused else latest.decision.configuration
        check_configuration(pipeline, initial)
    else:
        initial = prepared.initial or _warm(scenario, prepared, controller, deadline, view)
    return _Loop(controller, deadline, journal, earlier, initial, arrivals_s, view.before(0.0))


def _warm(
    scenario: Scenario, prepared: Prepared, controller: Controller, deadline: Deadline, view: LoadView
) -> Configuration:
    """The policy's decision before the first request, which is to stand ready, as in a simulation (rule 9).

    Raises ScenarioError where the policy cannot decide.
    """
    fields = {"latency", "busy_fraction", "concurrency"}
    duration_s = prepared.trace.duration_s
    opening = Opening(prepared.pipeline, view, duration_s, scenario.limit_cores, fields, scenario.seed)
    entry = controller.step(opening)
    if deadline.held:
        raise ScenarioError(f"the policy's first decision, which is to stand ready: {'; '.join(entry.decision.notes)}")
    return opening.configuration


def _run(
    scenario: Scenario, live: Live, prepared: Prepared, loop: _Loop, on_view: Callable[[View], object]
) -> Finished:
    """The run itself, with the controller's metrics served meanwhile."""
    from ipa.live import run as plane_run
    from ipa.live.controller_metrics import serving

    backend_in = None
    if live.cluster is not None:
        from ipa.studies.live_runs.cluster import backend_maker

        backend_in = backend_maker(scenario, prepared, live.cluster, loop.history_rps)
    bound_s = rules.bound_s(prepared.sla_s)
    load = plane_run.Load(loop.arrivals_s, prepared.trace.duration_s, bound_s)
    first_step = loop.journal.entries[-1].observation.step + 1 if loop.earlier else 1
    how = plane_run.Control(
        scenario.interval_s,
        loop.history_rps,
        live.source,
        live.prometheus,
        live.advise,
        first_step,
        live.prometheus_match,
    )
    with serving(live.metrics_port, prepared.pipeline, live.metrics_host) as (export_step, export_backend):
        return asyncio.run(
            plane_run.run(
                plane_of(scenario, live, prepared),
                loop.controller,
                loop.deadline,
                loop.journal,
                loop.initial,
                load,
                how,
                on_view,
                export_step,
                export_backend,
                backend_in,
            )
        )


def _facts(live: Live, loop: _Loop, finished: Finished) -> dict[str, Any]:
    """What the manifest says of the live world."""
    return {
        "backend": live.backend,
        "source": live.source,
        "advise": live.advise,
        "ended": finished.ended,
        "decision_timeout_s": loop.deadline.limit_s,
        "decisions_held": finished.held,
        "requests_sent": len(finished.sent.request),
        **finished.sent.lateness(),
        "records_lost": finished.lost,
        "foreign_requests": finished.foreign,
        "broken_laws": list(finished.broken_laws),
    }


def check_live(scenario: Scenario, live: Live, prepared: Prepared) -> None:
    """Raise LiveError, naming the key, for what only a simulation can have or what cannot be."""
    simulated = {
        "dispatch": (scenario.dispatch != "central", "the gateway dispatches centrally; allowed: central"),
        "engine": (scenario.engine != "auto", "a live run has no engine; allowed: auto"),
        "records": (scenario.records != "all", "a live run keeps all records; allowed: all"),
        "service_times": (
            scenario.service_times != "lognormal",
            "the emulated servers take the profiled times, mean and p99; allowed: lognormal",
        ),
        "start_up_sigma": (scenario.start_up_sigma > 0.0, "processes start as they do; allowed: 0"),
        "hop_s": (scenario.hop_s > 0.0, "a live hop takes what it takes; allowed: 0"),
        "decision_delay_s": (scenario.decision_delay_s > 0.0, "a live decision takes what it takes; allowed: 0"),
    }
    for key, (is_wrong, why) in simulated.items():
        if is_wrong:
            raise LiveError(f"{key}: {getattr(scenario, key)}: {why}")
    if "future_rps" in reads(prepared.policy):
        raise LiveError(
            f"policy {scenario.policy.name}: it or its predictor reads the load to come, which only a simulation knows"
        )
    if live.source not in SOURCES:
        raise LiveError(f"--source {live.source}: allowed: {', '.join(SOURCES)}")
    if live.prometheus is not None and live.source != "prometheus":
        raise LiveError("--prometheus goes with --source prometheus")
    if live.prometheus_match:
        from ipa.live.monitoring.prometheus import check_matcher

        if live.source != "prometheus":
            raise LiveError("--prometheus-match goes with --source prometheus")
        for matcher in live.prometheus_match:
            check_matcher(matcher)
    if live.source == "prometheus" and live.prometheus is None and live.cluster is not None:
        raise LiveError("--source prometheus on a cluster needs the URL of a server that scrapes it: --prometheus")
    if live.source == "prometheus" and live.prometheus is None:
        from ipa.live.monitoring.server import find_prometheus

        find_prometheus()
    if live.duration_s is not None and live.duration_s < 1.0:
        raise LiveError(f"--duration {live.duration_s:g}: should be at least 1 second")


def load_table(sent: Sent) -> pd.DataFrame:
    """One row a request that was sent: request, arrival_s (scheduled), sent_s, outcome, end_s, latency_s, status.

    `outcome` and `end_s` are as a client sees them: completed is status 200, dropped 504, failed any other answer or
    none that could be had, unfinished no answer by the end. A latency counts from the scheduled moment.
    """
    import numpy as np
    import pandas as pd

    from ipa.live.load import COMPLETED_STATUS, EXPIRED_STATUS, UNANSWERED
    from ipa.sim import COMPLETED, DROPPED, FAILED, OUTCOMES, UNFINISHED

    outcome = np.full(len(sent.request), FAILED)
    outcome[sent.status == COMPLETED_STATUS] = COMPLETED
    outcome[sent.status == EXPIRED_STATUS] = DROPPED
    outcome[sent.status == UNANSWERED] = UNFINISHED
    return pd.DataFrame(
        {
            "request": sent.request,
            "arrival_s": sent.scheduled_s,
            "sent_s": sent.sent_s,
            "outcome": pd.Categorical.from_codes(outcome, pd.Index(OUTCOMES)),
            "end_s": sent.end_s,
            "latency_s": np.where(outcome == COMPLETED, sent.end_s - sent.scheduled_s, np.nan),
            "status": sent.status,
        }
    )


@contextmanager
def journal_of(state: Path | None, has_tables: bool = True, has_end: bool = True) -> Iterator[Journal]:
    """The journal of the run: in memory, or in a file that holds it at every moment.

    A run without tables needs no more than the latest entry in memory; the file of one without end is bounded.
    """
    kept = None if has_tables else 1
    if state is None:
        yield Journal(kept)
        return
    from ipa.live.journal import KEPT_IN_FILE, FileJournal

    with closing(FileJournal(state, kept, None if has_end else KEPT_IN_FILE)) as journal:
        yield journal


def deadline_of(scenario: Scenario, prepared: Prepared, limit_s: float | None) -> Deadline:
    """The policy with its guards, held to a time limit. None: the interval, at most 5 s."""
    from ipa.live.deadline import Deadline

    limit_s = limit_s or min(LONGEST_DECISION_S, scenario.interval_s)
    return Deadline(guarded(prepared.policy, scenario, prepared.pipeline), prepared.pipeline, limit_s)


def plane_of(scenario: Scenario, live: Live, prepared: Prepared) -> Plane:
    """The settings of the serving plane."""
    from ipa.live.plane import Plane

    return Plane(
        pipeline=prepared.pipeline,
        source=scenario.pipeline,
        seed=scenario.seed,
        service_times=scenario.service_times,
        stop_s=scenario.stop_s,
        drop=scenario.drop,
        max_surge=scenario.max_surge,
        max_unavailable=scenario.max_unavailable,
        limit_cores=scenario.limit_cores,
        port=live.port,
        control_port=live.control_port,
    )
