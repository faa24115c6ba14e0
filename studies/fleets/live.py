"""A fleet on real servers: all its pipelines at once, with the arbiter of the simulation between their controllers."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING

from ipa.live import LiveError
from ipa.policies import Configuration, check_configuration
from ipa.policies.sharing import Arbiter, Step
from ipa.sim import LawError, check_budget
from ipa.studies.fleets.fleet import Fleet
from ipa.studies.fleets.run import BY_OBJECTIVE, FleetRun, curves_of, prepare_fleet
from ipa.studies.runs import Prepared, guarded, live_runs
from ipa.studies.runs.live_runs import Live, LiveRun
from ipa.studies.scenario import Shared, arrivals_of

if TYPE_CHECKING:
    from ipa.live import BackendMaker, FleetMember, LiveArbiter, SharingController, View
    from ipa.sim import LoadView

STEPS = "steps.jsonl"
"""The steps so far, one a line, in a state folder and in what a run keeps meanwhile."""

BEFORE, MOST_LINES = "steps.before.jsonl", 100_000
"""Where the steps go when there are so many, in a run without an end: those before them are dropped."""

log = logging.getLogger("ipa.studies.fleets.live")

ALONE = ("gateway.port", "gateway.control_port", "controller.metrics_port", "models.samples")
"""What one pipeline has, and several cannot share."""


@dataclass(frozen=True)
class LiveFleetRun(FleetRun):
    """A finished live run of a fleet. `broken_law`: how more cores existed than the budget; empty if they never did."""

    runs: Mapping[str, LiveRun]
    broken_law: str = ""


def check_live_fleet(fleet: Fleet, live: Live) -> None:
    """Raise LiveError for a budget of GPUs, which only a simulation shares, and options that a fleet cannot have."""
    if fleet.limit_gpus is not None:
        raise LiveError(f"limit_gpus {fleet.limit_gpus}: live, a fleet shares cores; allowed: limit_cores")
    for key, _, value in live.settings.given():
        if key in ALONE:
            raise LiveError(f"{key}: {value}: it is of one pipeline, and a fleet has several")
    if (source := live.settings.controller.source) != "gateway":
        raise LiveError(f"controller.source: {source}: a fleet observes its gateways; allowed: gateway")


def run_live_fleet(
    fleet: Fleet,
    live: Live,
    on_view: Callable[[str, View], object] = lambda *_: None,
) -> LiveFleetRun:
    """Run a fleet on this machine until all its loads are over, or a signal ends it; parameters as of `run_live`.

    The controller's `state` is a folder with the journal of each pipeline, and the steps of all. Raises as `run_live`
    and `prepare_fleet`.
    """
    live_runs.check_installed()
    from ipa.live import MemberLoad, run_fleet_with_load

    started_s = perf_counter()
    check_live_fleet(fleet, live)
    shared = Shared()
    sharers = fleet.sharers(shared)
    all_prepared = {name: _checked(name, prepared, live) for name, prepared in prepare_fleet(fleet, shared).items()}
    with ExitStack() as stack:
        arbiter = _arbiter(fleet, Arbiter(fleet.sharing, fleet.budget, sharers), all_prepared)
        controllers = {
            name: _controller(name, fleet, prepared, live, arbiter, stack) for name, prepared in all_prepared.items()
        }
        arrivals_s = {name: arrivals_of(prepared.scenario, prepared.trace) for name, prepared in all_prepared.items()}
        loads = {name: live_runs.load_of_run(prepared, arrivals_s[name]) for name, prepared in all_prepared.items()}
        arbiter.on_step = KeptSteps(live.settings.controller.state).note
        initial = _ready_at_first(all_prepared, controllers, loads)
        members, sends = {}, {}
        for name, prepared in all_prepared.items():
            make_backend = live_runs.loopback_or_cluster(live, prepared, loads[name].before(0.0))
            members[name] = _member(live, prepared, make_backend, controllers[name], initial[name])
            schedule = live_runs.schedule_of(live, prepared, arrivals_s[name])
            sends[name] = MemberLoad(schedule, partial(on_view, name))
        all_finished = run_fleet_with_load(members, sends, arbiter)
    wall_s = perf_counter() - started_s
    runs = {}
    for name, finished in all_finished.items():
        controller = controllers[name]
        facts = live_runs.facts_of(live_runs.how_of(live, controller), controller.deadline.held, finished)
        prepared, entries = all_prepared[name], controller.entries
        runs[name] = live_runs.live_run_of(prepared, initial[name], entries, finished, facts, wall_s)
    return _finished(fleet, runs, arbiter.steps, wall_s)


def control_live_fleet(fleet: Fleet, live: Live, on_step: Callable[[Step], object] = lambda _: None) -> None:
    """Control the deployed pipelines of a fleet, whose loads come from elsewhere, for `duration_s` or until a signal.

    Each is deployed under its name in the fleet, all in one namespace. `on_step` is called with each step. Raises as
    `control_live` and `prepare_fleet`.
    """
    live_runs.check_installed()
    from ipa.live import run_fleet_without_load

    check_live_fleet(fleet, live)
    shared = Shared()
    sharers = fleet.sharers(shared)
    all_prepared = {name: _checked(name, prepared, live) for name, prepared in prepare_fleet(fleet, shared).items()}
    arbiter = _arbiter(fleet, Arbiter(fleet.sharing, fleet.budget, sharers), {})
    steps = KeptSteps(live.settings.controller.state)

    def note(step: Step) -> None:
        steps.note(step)
        on_step(step)

    arbiter.on_step, arbiter.steps = note, deque(maxlen=1)  # a run without an end keeps none
    members, recalls, keeps = {}, {}, {}
    with ExitStack() as stack:
        for name, prepared in all_prepared.items():
            of_member, held_decisions = _deployment(live, name), live_runs.LeaseHolder()
            no_history = (float("nan"),) * prepared.scenario.history_s
            try:
                make_backend = live_runs.backend_maker(
                    prepared,
                    of_member,
                    no_history,
                    read_only=live.settings.controller.advise,
                    sends_load=False,
                    budget_cores=fleet.limit_cores,
                    held=held_decisions,
                )
            except LiveError as error:
                raise LiveError(f"pipelines[{name}]: {error}") from None
            remembered = live_runs.remembered(
                prepared, of_member, held_decisions, read_only=live.settings.controller.advise
            )
            recalls[name], keeps[name] = stack.enter_context(remembered)
            controller = _controller(name, fleet, prepared, live, arbiter, stack)
            members[name] = _member(live, prepared, make_backend, controller, live_runs.first_configuration(prepared))
        run_fleet_without_load(members, live.duration_s, lambda name, entry: keeps[name](entry), recalls)


def quota_of(live: Live, fleet: Fleet) -> int:
    """The cores that the quota of the fleet's namespace leaves for it. Raises LiveError if there is none."""
    from ipa.live.kubernetes import cores_left, current_namespace

    assert live.cluster is not None
    namespace = live.cluster.namespace or current_namespace(live.cluster.context)
    return cores_left(live_runs.connect(live.cluster, read_only=True), namespace, [m.name for m in fleet.pipelines])


def _deployment(live: Live, name: str) -> Live:
    assert live.cluster is not None
    if live.cluster.name is not None:
        raise LiveError(f"--name {live.cluster.name}: the pipelines of a fleet are deployed under their names in it")
    return replace(live, cluster=replace(live.cluster, name=name))


class KeptSteps:
    """Saves the steps of a fleet in its `state` folder while it runs."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lines = 0
        self._lock = Lock()

    def note(self, step: Step) -> None:
        """Append a step; called from any thread. A write error is logged, and the run goes on."""
        if self._folder is None:
            return
        with self._lock:
            self._lines += 1
            try:
                with (self._folder / STEPS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(step._asdict()) + "\n")
                if self._lines % MOST_LINES == 0:
                    (self._folder / STEPS).replace(self._folder / BEFORE)
            except OSError as error:
                log.warning("the steps of the fleet are not kept", extra={"problem": str(error)})


def _finished(fleet: Fleet, runs: Mapping[str, LiveRun], steps: Sequence[Step], wall_s: float) -> LiveFleetRun:
    broken_law = ""
    try:
        check_budget([run.records for run in runs.values()], fleet.budget)
    except LawError as error:
        broken_law = str(error)
    return LiveFleetRun(fleet, runs, sorted(steps, key=lambda step: step.time_s), wall_s, broken_law)


def _arbiter(fleet: Fleet, arbiter: Arbiter, all_prepared: Mapping[str, Prepared]) -> LiveArbiter:
    from ipa.live import LiveArbiter

    steps_s = {
        name: (prepared.scenario.interval_s, prepared.trace.duration_s) for name, prepared in all_prepared.items()
    }
    return LiveArbiter(arbiter, steps_s)


def _controller(
    name: str, fleet: Fleet, prepared: Prepared, live: Live, arbiter: LiveArbiter, stack: ExitStack
) -> SharingController:
    from ipa.live import SharingController, open_journal

    journal_file, folder = None, live.settings.controller.state
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LiveError(f"controller.state: {folder}: should be a folder: {error.strerror}") from None
        journal_file = folder / f"{name}.jsonl"
    if live.cluster is None:
        journal = stack.enter_context(open_journal(journal_file))
    else:
        has_end, within_s = live.duration_s is not None, live_runs.HANDED_OVER_S
        journal = stack.enter_context(open_journal(journal_file, has_tables=False, has_end=has_end, within_s=within_s))
    return SharingController(
        prepared.pipeline,
        guarded(prepared),
        live_runs.decision_limit_s(live, prepared.scenario),
        journal,
        name=name,
        interval_s=prepared.scenario.interval_s,
        arbiter=arbiter,
        curves=curves_of(fleet, prepared) if fleet.sharing in BY_OBJECTIVE else None,
    )


def _member(
    live: Live,
    prepared: Prepared,
    make_backend: BackendMaker,
    controller: SharingController,
    initial: Configuration,
) -> FleetMember:
    from ipa.live import FleetMember

    return FleetMember(live_runs.setup_of(live, prepared, make_backend), controller, initial)


def _ready_at_first(
    all_prepared: Mapping[str, Prepared],
    controllers: Mapping[str, SharingController],
    loads: Mapping[str, LoadView],
) -> dict[str, Configuration]:
    """What is ready at t = 0 of each pipeline: the journal's latest configuration, else the scenario's, else what its
    policy decides within its limit once all have said what they want (rule 12)."""
    from ipa.live import SharedOpening, total_cores

    initial, wishes = {}, {}
    for name, prepared in all_prepared.items():
        controller = controllers[name]
        if controller.resumed is not None:
            check_configuration(prepared.pipeline, controller.resumed)
        ready = controller.resumed or prepared.initial
        controller.stands(0 if ready is None else total_cores(ready))
        if ready is not None:
            initial[name] = ready
    openings = {
        name: live_runs.opening_of(prepared, loads[name])
        for name, prepared in all_prepared.items()
        if name not in initial
    }
    for name, opening in openings.items():
        wishes[name] = controllers[name].tell(SharedOpening(opening), opening.observe())
    for name, opening in openings.items():
        wish, claim_cores, problem = wishes[name]
        entry = controllers[name].take(SharedOpening(opening), wish, claim_cores, 0.0, problem)
        live_runs.check_opening(controllers[name], entry)
        initial[name] = opening.configuration
    return initial


def _checked(name: str, prepared: Prepared, live: Live) -> Prepared:
    """A pipeline that can run live, as of `checked_and_cut`; LiveErrors name it."""
    try:
        return live_runs.checked_and_cut(prepared, live)
    except LiveError as error:
        raise LiveError(f"pipelines[{name}]: {error}") from None
