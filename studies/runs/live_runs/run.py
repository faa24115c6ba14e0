"""`run_live(scenario) -> LiveRun`: a scenario on real servers, with the tables and figures of a simulated run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from ipa.live import LiveError
from ipa.policies import (
    Configuration,
    Entry,
    OptimisingPolicy,
    check_configuration,
    describe,
    goal_of,
)
from ipa.sim import LoadView, Opening, RunView, rules, summarise
from ipa.studies.runs.live_runs.checks import check_installed, check_live, plane_of
from ipa.studies.runs.live_runs.load import drawn_tokens, load_table, loss
from ipa.studies.runs.live_runs.on_cluster import LeaseHolder, backend_maker, first_configuration, remembered
from ipa.studies.runs.live_runs.options import Live
from ipa.studies.runs.live_runs.samples import Checked, checked, is_body, read_body
from ipa.studies.runs.run import LIVE, Prepared, Run, guarded, prepare, summary_with
from ipa.studies.runs.tables import Tables
from ipa.studies.scenario import Scenario, ScenarioError, arrivals_of

if TYPE_CHECKING:
    from ipa.live import (
        BackendMaker,
        Finished,
        LiveBackend,
        LiveController,
        OnRollback,
        Schedule,
        Sent,
        Setup,
        View,
    )
    from ipa.live.monitoring import SourceMaker
    from ipa.sim import FloatArray

LONGEST_DECISION_S = 5.0
HANDED_OVER_S = 20.0
"""How long a controller waits for its predecessor to stop writing the journal: on a persistent volume claim, the next
pod starts while the previous one ends."""


@dataclass(frozen=True, repr=False)
class LiveRun(Run):
    """A finished live run: like a simulated one, with what the load generator sent and the facts of the live run."""

    sent: Sent
    live: Mapping[str, Any]
    checked: Checked | None = None

    @property
    def ended(self) -> str:
        """Why the run ended early; empty if it did not."""
        return str(self.live["ended"])

    @property
    def loss(self) -> str:
        """The warning for a live run that lost too many requests; empty for any other."""
        return str(self.live["loss"])

    @cached_property
    def tables(self) -> Tables:
        """The tables of a simulated run, and `load`: the requests as the load generator saw them (see `load_table`)."""
        return Tables({**super().tables, "load": load_table(self.sent, self.checked)})

    @property
    def further(self) -> Mapping[str, Any]:
        """The facts of the live run, for the manifest."""
        return {"live": dict(self.live)}


def run_live(
    scenario: Scenario,
    live: Live | None = None,
    on_view: Callable[[View], object] = lambda _: None,
) -> LiveRun:
    """Run a scenario on real servers until its load is over, or SIGINT or SIGTERM ends it.

    `live` says on what and how it runs; default: on this machine. `on_view` is called every second with the state of
    the run.
    Raises as `prepare`, LiveError for settings that a live run cannot have, PolicyError for a journal of another
    pipeline, RunError if the servers do not start, and KeyboardInterrupt for a signal before they have started.
    """
    check_installed()
    from ipa.live import LiveController, open_journal, run_with_load

    started_s = perf_counter()
    live = live or Live()
    prepared = checked_and_cut(prepare(scenario), live)
    arrivals_s = arrivals_of(scenario, prepared.trace)
    load = load_of_run(prepared, arrivals_s)
    with open_journal(live.settings.controller.state) as journal:
        controller = LiveController(prepared.pipeline, guarded(prepared), decision_limit_s(live, scenario), journal)
        initial = _initial(prepared, controller, load)
        setup = setup_of(live, prepared, loopback_or_cluster(live, prepared, load.before(0.0)))
        schedule = schedule_of(live, prepared, arrivals_s)
        how = how_of(live, controller)
        finished = run_with_load(setup, controller, initial, schedule, on_view)
    answers = checked(live.settings.models.samples, finished.answers)
    wall_s = perf_counter() - started_s
    facts = facts_of(how, controller.deadline.held, finished)
    run = live_run_of(prepared, initial, controller.entries, finished, facts, wall_s)
    return run if answers is None else replace(run, checked=answers, live={**run.live, "answers": answers.as_dict()})


def checked_and_cut(prepared: Prepared, live: Live) -> Prepared:
    """What can run live, with as much of the load as is to be sent. Raises LiveError."""
    check_live(live, prepared)
    if live.duration_s is None or live.duration_s >= prepared.trace.duration_s:
        return prepared
    return replace(prepared, trace=prepared.trace.window([(0.0, live.duration_s)]))


def load_of_run(prepared: Prepared, arrivals_s: FloatArray) -> LoadView:
    """The load; live, the time of day is this machine's, whatever day the load is from."""
    trace = prepared.trace
    return LoadView(arrivals_s, trace.history_counts, prepared.scenario.history_s, trace.duration_s, time())


def live_run_of(
    prepared: Prepared,
    initial: Configuration,
    entries: tuple[Entry, ...],
    finished: Finished,
    facts: Mapping[str, Any],
    wall_s: float,
) -> LiveRun:
    """A finished run with its figures and the `facts` of the live run (`facts_of`)."""
    scenario, pipeline, policy = prepared.scenario, prepared.pipeline, prepared.policy
    figures = summarise(
        pipeline, finished.records, initial, entries, prepared.sla_s, scenario.price_per_core, goal_of(policy)
    )
    summary = summary_with(prepared, LIVE, figures, wall_s)
    return LiveRun(
        scenario=scenario,
        pipeline=pipeline,
        trace=prepared.trace,
        policy=describe(policy),
        initial=initial,
        entries=entries,
        records=finished.records,
        summary=summary,
        decisions_reused=policy.answers.hit_rate() if isinstance(policy, OptimisingPolicy) else None,
        inputs=prepared.inputs,
        sent=finished.sent,
        live={"loss": loss(summary, load_table(finished.sent)), **facts},
    )


def control_live(scenario: Scenario, live: Live, on_step: Callable[[Entry], object] = lambda _: None) -> None:
    """Control a pipeline on `live.cluster` whose load comes from elsewhere, for `duration_s` or until a signal.

    It begins with the configuration in force there. It resumes from the journal `state` or, once it holds the Lease,
    from the state kept on the cluster if that is later. `on_step` is called with each new entry. With `advise` it only
    decides, and its client cannot write. Raises as `run_live`, and RunError for a failure that ends it early; a signal
    raises nothing.
    """
    check_installed()
    from ipa.live import LiveController, open_journal, run_without_load

    if live.cluster is None:
        raise LiveError("a controller that sends no load needs a cluster")
    prepared = prepare(scenario)
    check_live(live, prepared)
    no_history = (float("nan"),) * scenario.history_s
    held = LeaseHolder()
    make_backend = backend_maker(
        prepared, live, no_history, read_only=live.settings.controller.advise, sends_load=False, held=held
    )
    setup = setup_of(live, prepared, make_backend)
    has_end = live.duration_s is not None
    with (
        open_journal(
            live.settings.controller.state, has_tables=False, has_end=has_end, within_s=HANDED_OVER_S
        ) as journal,
        remembered(prepared, live, held, read_only=live.settings.controller.advise) as (recall, keep),
    ):

        def stepped(entry: Entry) -> None:
            keep(entry)
            on_step(entry)

        controller = LiveController(prepared.pipeline, guarded(prepared), decision_limit_s(live, scenario), journal)
        run_without_load(setup, controller, first_configuration(prepared), live.duration_s, stepped, recall)


def setup_of(live: Live, prepared: Prepared, make_backend: BackendMaker) -> Setup:
    """The settings of a run."""
    from ipa.live import Prometheus, Setup

    controller = live.settings.controller
    reads = Prometheus(controller.prometheus or None, controller.prometheus_match)
    return Setup(
        pipeline=prepared.pipeline,
        make_backend=make_backend,
        interval_s=prepared.scenario.interval_s,
        prometheus=reads if controller.source == "prometheus" else None,
        advise=controller.advise,
        metrics_port=controller.metrics_port,
        metrics_host=controller.metrics_host,
    )


def loopback_or_cluster(live: Live, prepared: Prepared, history_rps: tuple[float, ...]) -> BackendMaker:
    """A factory for the backend of a run with a load."""
    if live.cluster is not None:
        return backend_maker(prepared, live, history_rps)
    from ipa.live import LoopbackBackend

    plane = plane_of(prepared, live)

    def make(*, folder: Path, source: SourceMaker, on_rollback: OnRollback) -> LiveBackend:
        return LoopbackBackend(plane, folder, history_rps, source=source, on_rollback=on_rollback)

    return make


def decision_limit_s(live: Live, scenario: Scenario) -> float:
    """How long a decision may take."""
    return live.settings.controller.decision_timeout_s or min(LONGEST_DECISION_S, scenario.interval_s)


def _initial(prepared: Prepared, controller: LiveController, load: LoadView) -> Configuration:
    """The configuration that is ready at t = 0: the journal's latest, else the scenario's, else the policy's.

    In the last case, the policy decides before the first request, as in a simulation (rule 9). Raises PolicyError for a
    journal of another pipeline, ScenarioError if the policy cannot decide.
    """
    if controller.resumed is not None:
        check_configuration(prepared.pipeline, controller.resumed)
        return controller.resumed
    if prepared.initial is not None:
        return prepared.initial
    opening = opening_of(prepared, load)
    check_opening(controller, controller.step(opening))
    return opening.configuration


def opening_of(prepared: Prepared, load: LoadView) -> Opening:
    """The backend of the decision before the first request."""
    fields = {"latency", "busy_fraction", "concurrency", "past_rps"}
    scenario, pipeline = prepared.scenario, prepared.pipeline
    view = RunView(load, prepared.trace.duration_s, pipeline.name, scenario.seed, scenario.limit_cores, fields)
    return Opening(pipeline, view)


def check_opening(controller: LiveController, entry: Entry) -> None:
    """Raise ScenarioError if the policy could not make the decision before the first request."""
    if controller.deadline.held:
        raise ScenarioError(
            f"the policy's first decision, without which nothing can start: {'; '.join(entry.decision.notes)}"
        )


def schedule_of(live: Live, prepared: Prepared, arrivals_s: FloatArray) -> Schedule:
    """What the load generator sends, and how long it waits for answers."""
    from ipa.live import Schedule

    token_file, given = live.settings.access.token_file, live.settings.models.samples
    body = read_body("models.samples", Path(given)) if is_body(given) else None
    samples = str(Path(given).absolute()) if given and body is None else ""
    bound_s = rules.bound_s(prepared.sla_s)
    tokens = drawn_tokens(prepared.scenario, prepared.pipeline, prepared.trace, arrivals_s)
    return Schedule(
        arrivals_s,
        prepared.trace.duration_s,
        bound_s,
        body,
        "" if token_file is None else str(token_file.absolute()),
        samples,
        tokens,
    )


def how_of(live: Live, controller: LiveController) -> dict[str, Any]:
    """The manifest's entries on how the run is made."""
    return {
        "backend": live.backend,
        "source": live.settings.controller.source,
        "advise": live.settings.controller.advise,
        "decision_timeout_s": controller.deadline.limit_s,
    }


def facts_of(how: Mapping[str, Any], held: int, finished: Finished) -> dict[str, Any]:
    """The manifest's facts of a live run. `how` it ran: as of `how_of`; `held`: the number of held decisions."""
    return {
        **{key: how[key] for key in ("backend", "source", "advise")},
        "ended": finished.ended,
        "decision_timeout_s": how["decision_timeout_s"],
        "decisions_held": held,
        "requests_sent": len(finished.sent.request),
        **finished.sent.lateness(),
        "records_lost": finished.lost,
        "foreign_requests": finished.foreign,
        "refused": dict(finished.refused),
        "cut_off": finished.cut_off,
        "models": dict(finished.models),
        "broken_laws": list(finished.broken_laws),
    }
