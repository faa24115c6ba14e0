"""The backend whose replicas are pods: opened, observed, given decisions, and left running.

`apply` sets the wanted configuration; batch sizes and timeouts take effect in the gateway's queues at once. One task,
the reconcile loop, brings the cluster to it pass by pass (`reconcile`); a watch of the pods wakes it and keeps the
replicas' timeline. The cluster carries out rule 5. All state here can be read again, so a restarted controller carries
on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ipa.live.errors import RunError
from ipa.live.kubernetes import failed_variants, permissions
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.cluster_gateway import ClusterGateway, way_to
from ipa.live.kubernetes.events import Event, Events, log_news, news
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.manifests import template_of
from ipa.live.kubernetes.pace import ChangeLimit, moves_pods
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.readiness import longest_s, until_gateway, until_reached, until_whole
from ipa.live.kubernetes.reconcile import Reconciler, following
from ipa.live.kubernetes.room import FoundRoom
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look, StageState, read_stages, said, wanted_of
from ipa.live.kubernetes.timeline import PodReplicas, Timeline
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.kubernetes.within_budget import Budget, committed_cores, divided, needed_cores
from ipa.live.live_backend import LiveBackend, OnRollback
from ipa.live.monitoring import SourceMaker, from_gateway
from ipa.live.plane import LOAD
from ipa.policies import Applied, Configuration, Observation, StageConfiguration

REMEMBERED_FOR_S = 600.0
"""How long a controller without an end remembers replicas that are gone."""
READ_WITHIN_S = 60.0
"""How long the first list of pods may take to come."""
LOOK_EVERY_S = 2.0
"""The reconcile loop looks at everything this often even if nothing has happened."""
BETWEEN_LOOKS_S = 0.2
"""The least time between two looks, however much happens."""
LOOK_EVERY_WHILE_STOPPED_S = 5.0

log = logging.getLogger("ipa.live.kubernetes.kubernetes_backend")


@dataclass(frozen=True)
class Options:
    """How a controller works on a deployed pipeline. `url` is where clients reach it; empty if no load is sent from
    here.

    With `adopts` it takes over what is running: it starts from the wanted configuration on the cluster, rolled out or
    not, and uses the gateway's clock. Without, it first rolls out the initial configuration and sets t = 0. `lease`
    None: there is no other writer. `finish` waits for other writers of this process, before the Lease is released.
    `shares`: until the first decision, its Deployments keep their templates and get no more cores than they have, as
    it is not known yet what of a fleet's budget is its own. `control_token_file` is for a controller inside the cluster
    (see `way_to`).
    """

    url: str = ""
    pace: ChangeLimit | None = None
    lease: Lease | None = None
    finish: Callable[[], object] = lambda: None
    adopts: bool = False
    shares: bool = False
    control_token_file: Path | None = None


class KubernetesBackend(LiveBackend):
    """A deployed pipeline, and the loop that brings it to the wanted configuration.

    With a read-only `api` it observes, and changes nothing.
    """

    client: ClusterGateway

    def __init__(
        self,
        deployed: Deployed,
        api: Api,
        folder: Path,
        history_rps: tuple[float, ...],
        options: Options | None = None,
        source: SourceMaker = from_gateway,
        on_rollback: OnRollback = lambda *_: None,
    ) -> None:
        options = options or Options()
        self.stages: dict[str, PodReplicas] = {}
        self._timeline = Timeline(self.stages)
        token_file = options.control_token_file
        super().__init__(
            deployed.plane,
            folder,
            history_rps,
            lambda session: ClusterGateway(
                way_to(api, deployed, session, token_file), deployed, self._timeline, lambda: self.now_s
            ),
            source,
            on_rollback,
        )
        self.deployed = deployed
        self.url = options.url
        self.look = Look()
        """What the latest pass of the reconcile loop found and did; empty before the first."""
        self._api = api
        self._is_inside = token_file is not None
        self.advises = api.read_only
        self._adopts = options.adopts or api.read_only
        self._is_shared = options.shares
        self._pace = options.pace or ChangeLimit()
        self._threads = ThreadPoolExecutor(thread_name_prefix="cluster")  # its calls go on if their task is cancelled
        self._finish = options.finish
        self._lease = options.lease
        self._reconciler = Reconciler(api, deployed, has_matched=self._adopts)
        self._events = Events(api, deployed)
        self._decision = self._budgeted = 0  # how many there were, and which one the budgets are of
        self._budget_cores: dict[str, int] = {}
        self._is_passing = False
        self._room = FoundRoom(len(deployed.stages), deployed.settings.cluster.nodes_within_s)
        self._pods: dict[str, Pod] = {}
        self._is_listed = asyncio.Event()
        self._watch = PodWatch(api, deployed.namespace, deployed.instance, self._watched)
        self._has_started = self._is_closing = False
        self._changing = asyncio.Lock()  # held while the wanted, or the gateway's, configuration changes

    # ---- the run ----

    async def open(self, initial: Configuration) -> None:
        """Bring the pipeline to `initial` and wait until that is ready, with nothing else left.

        A backend that adopts takes over the wanted configuration on the cluster, once no other controller can change
        it; `initial` is for stages without one. Raises RunError, with the reason, if the pipeline does not become
        ready.
        """
        await self._open_launcher((LOAD,))
        await self._loop.run_in_executor(self._threads, permissions.check, self._api, self.deployed, self._is_inside)
        if self._lease is not None:
            await self._lease.take(self._threads, self._report)
            self.spawn(self._lease.keep(self._threads, self._report, self.fail))
        states = await self._states_there()
        if self._adopts:
            initial = wanted_of(self.deployed, initial, states)
        for stage in self.plane.pipeline.stages:
            self.stages[stage.name] = PodReplicas(stage.name, initial[stage.name])
        self._watch.start()
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self._is_listed.wait()
        except TimeoutError:
            raise RunError(f"the pods could not be listed within {READ_WITHIN_S:g} s: {self._watch.error}") from None
        self.spawn(self._reconcile_loop())
        within_s, client, pods = longest_s(self.deployed, initial), self.client, lambda: self._pods.values()
        if self._adopts:
            await until_gateway(client, lambda: self.look, self.failed, within_s)
        else:
            await until_whole(client, lambda: self.look, pods, initial, self.failed, within_s)
        if self.url:
            await until_reached(self.url)

    async def start(self, origin_s: float) -> None:
        """Set the run's t = 0 to a moment of `time.monotonic()`, or take over the gateway's clock."""
        if self._adopts:
            asked_s = time.monotonic()
            there_s = await self.client.join()
            self._observer.begin_at(there_s)
            before_s, self._origin_s = self._origin_s, (asked_s + time.monotonic()) / 2 - there_s
            self._timeline.set_forward(before_s - self._origin_s)
        else:
            reading = await self.client.clock()
            self._origin_s = origin_s
            await self.client.start(origin_s + reading.offset_s)
            await self.client.join()
            self._timeline.restart()
        self._has_started = True
        self._wake.set()

    async def close(self) -> None:
        """End the processes on this machine. The pipeline stays as it is: `ipa live down` removes it."""
        self._is_closing = True
        self._watch.stop()
        await asyncio.to_thread(self._finish)  # while the Lease is still renewed
        await super().close()
        await asyncio.to_thread(self._threads.shutdown)  # before another may write
        if self._lease is not None:
            await asyncio.to_thread(self._lease.release)

    async def _states_there(self) -> dict[str, StageState]:
        """The stages by their Deployments. Raises RunError where this backend has to know them."""
        try:
            return await self._loop.run_in_executor(self._threads, read_stages, self._api, self.deployed)
        except ApiError as error:
            if self._adopts:
                raise RunError(str(error)) from None
            return {}  # the first look reports it

    # ---- observe and apply ----

    async def _apply(self, configuration: Configuration) -> Applied:
        async with self._changing:
            moves, before = self._moves(configuration), self.wanted
            applied = await super()._apply(configuration)
            if applied.accepted:
                self._pace.note(moves)
                for name, stage in configuration.items():
                    if stage.variant != before[name].variant:
                        self.stages[name].decided_at = self._step
            return applied

    @property
    def models(self) -> Mapping[str, str]:
        return self._reconciler.models.by_variant()

    def _refusal(self, configuration: Configuration) -> str:
        if not self._may_write():
            return f"the Lease is {self._not_held}"
        if self.look.is_held:
            return f"held: {self._held_by}"
        stopped = self.look.refusal(self.wanted, configuration)
        if stopped:
            return f"stopped: {stopped}"
        return failed_variants.refusal(self.stages, configuration) or self._pace.refusal(self._moves(configuration))

    def _moves(self, configuration: Configuration) -> int:
        """The number of stages whose pods a configuration changes."""
        return sum(moves_pods(self.stages[name].configuration, stage) for name, stage in configuration.items())

    async def _observe(self) -> Observation:
        for stage in self.stages.values():
            stage.forgive(self._api.time_s())
        if self._adopts:
            self._timeline.forget(self.now_s - REMEMBERED_FOR_S)
        observation = await super()._observe()
        return replace(observation, limit_cores=self._room.within(observation.limit_cores))

    # ---- the reconcile loop ----

    def _may_write(self) -> bool:
        """Whether writing is still allowed: the Lease may have run out, or the run ended. Called from any thread."""
        return not (self._not_held or self._api.read_only or self._is_closing)

    @property
    def _not_held(self) -> str:
        """Why the Lease is not held; empty if it is, or if there is no other writer. Called from any thread."""
        return "" if self._lease is None or self._lease.is_held else self._lease.trouble

    async def _reconcile(self) -> float:
        if self._not_held:
            return LOOK_EVERY_S
        configuration = self.wanted
        look = self.look = await self._pass(configuration)
        if look.is_down:
            self.fail(f"{self.deployed.instance} no longer exists; run ipa live up")
        if look.is_changed:
            self.fail(f"{self.deployed.instance} has been redeployed with other settings or another file: start again")
        for name, state in look.stages.items():  # an earlier controller may have recorded some
            self.stages[name].exclude(state.failed, self._api.time_s())
        if self._api.read_only:
            self._follow(look.stages)
        self.look_failures += bool(look.error)
        self._room.note(look, time.monotonic())
        if self._may_write() and not look.is_held:
            async with self._changing:
                # Before the run begins there is nothing to roll back to: the first configuration fails as a whole.
                for name, why in look.failed.items() if self._has_started or self._adopts else ():
                    if self.stages[name].configuration == configuration[name]:  # a later decision may succeed
                        await self._roll_back(name, why, look)
                if self._has_started:
                    await self.client.keep(self.wanted)
        await asyncio.sleep(BETWEEN_LOOKS_S)
        return pause_s(look, self._reconciler.pause_s)

    async def _pass(self, configuration: Configuration) -> Look:
        """Make one reconcile pass; log what is new, and write it as Events."""
        pods, failed = list(self._pods.values()), {name: dict(stage.excluded) for name, stage in self.stages.items()}
        budgets = partial(self._budgets, configuration, self._decision)
        self._is_passing = True  # with these budgets, until it has written
        look = following(
            self.look,
            await self._loop.run_in_executor(
                self._threads, self._reconciler.reconcile, configuration, pods, failed, self._may_write, budgets
            ),
        )
        self._is_passing = False
        for name, stage in self.stages.items():
            stage.note_room(name in look.lacking, self.now_s)
        log_news(self.look, look)
        await self._tell_events(look, *news(self.look, look))
        return look

    def _set_budgets(self) -> None:
        """The next pass sets them: they follow from the Deployments as it reads them."""
        self._decision += 1

    def _budgets(
        self, configuration: Configuration, decision: int, states: Mapping[str, StageState]
    ) -> dict[str, Budget]:
        """The stages' budgets, set anew for a decision that has none yet; none without a limit. Called in a pass's
        thread."""
        if self._is_shared and not decision:
            self._budget_cores = {name: committed_cores(state) for name, state in states.items()}
            budgets_of_stages = self._budgets_of(configuration)
            return {name: replace(budget, replaces=False) for name, budget in budgets_of_stages.items()}
        if self._most_cores is not None and decision != self._budgeted:
            budgets = divided(self._most_cores, configuration, states)
            self._budget_cores = self._as_needed(budgets, configuration, states) if self._is_shared else budgets
            self._budgeted = decision
        return self._budgets_of(configuration)

    def _budgets_of(self, configuration: Configuration) -> dict[str, Budget]:
        return {
            name: Budget.of(configuration[name].replicas, cores, self.plane)
            for name, cores in self._budget_cores.items()
        }

    def _as_needed(
        self, budgets: Mapping[str, int], configuration: Configuration, states: Mapping[str, StageState]
    ) -> dict[str, int]:
        """The stages' budgets, lowered to the cores that they may still need, where these are known."""
        return {
            name: min(cores, self._needed_cores(name, configuration[name], states[name])) if name in states else cores
            for name, cores in budgets.items()
        }

    def _needed_cores(self, name: str, configuration: StageConfiguration, state: StageState) -> int:
        return needed_cores(configuration, template_of(self.deployed, name, configuration), state)

    async def _claim_cores(self, decided: Configuration | None) -> int:
        """By the latest look. Budgets are lowered between two passes only, as one under way has its own."""
        configuration, states = self.wanted, self.look.stages
        if self._budgeted == self._decision and not self._is_passing:
            self._budget_cores = self._as_needed(self._budget_cores, configuration, states)
        cores = 0
        for name, stage in configuration.items():
            if name not in states:
                cores += max(self._budget_cores.get(name, 0), stage.total_cores)
                continue
            state = states[name]
            still_needed_cores = self._needed_cores(name, stage, state)
            claim_cores = max(self._budget_cores.get(name, still_needed_cores), committed_cores(state))
            if self._budgeted != self._decision:
                claim_cores = max(claim_cores, still_needed_cores)
            if decided is not None:
                is_kept = (decided[name].variant, decided[name].cores) == (stage.variant, stage.cores)
                more_cores = self._needed_cores(name, decided[name], state)
                claim_cores = max(claim_cores, more_cores) if is_kept else claim_cores + decided[name].total_cores
            cores += claim_cores
        return cores

    async def _tell_events(self, look: Look, *events: Event) -> None:
        """Write Events, where this controller writes."""
        for event in events:
            if self._may_write():
                await self._loop.run_in_executor(self._threads, self._events.tell, event, look)

    def _follow(self, states: Mapping[str, StageState]) -> None:
        """Take over what another controller wants, where this one only reads."""
        for name, state in states.items():
            if state.wanted is not None:
                self.stages[name].configuration = state.wanted

    async def _roll_back(self, name: str, why: str, look: Look) -> None:
        """Roll a stage back to its last complete configuration, and exclude the failed variant for a while."""
        stage = self.stages[name]
        sound = failed_variants.rollback(look.stages[name], stage.configuration)
        if sound is None or not self._pods:
            return  # nothing to go back to; the look says what is wrong
        variant = stage.configuration.variant
        stage.excluded[variant] = self._api.time_s()
        self.rollbacks[name, variant] += 1
        # The step that chose the present variant is undone, with those that kept it.
        for step in range(self._step if stage.decided_at is None else stage.decided_at, self._step + 1):
            self._on_rollback(step, f"{name}: rolled back to {sound.variant}: {why}")
        log.error("rolled back", extra={"stage": name, "variant": variant, "problem": why})
        stage.configuration = sound
        self._wake.set()
        said_so = f"variant {variant} has failed and is left out; back to {sound.variant}: {why}"
        await self._tell_events(look, Event(name, "RolledBack", said_so))

    # ---- the watch ----

    def _watched(self, pods: Mapping[str, Pod], is_fresh: bool) -> None:
        """Called in the watch's thread."""
        self._loop.call_soon_threadsafe(self._note_pods, dict(pods), is_fresh, time.monotonic())

    def _note_pods(self, pods: dict[str, Pod], is_fresh: bool, seen_s: float) -> None:
        late_s = time.monotonic() - seen_s
        self._timeline.note(pods, is_fresh, self.now_s - late_s, self._api.time_s() - late_s)
        self._pods = pods
        self._is_listed.set()
        self._wake.set()

    # ---- troubles ----

    @property
    def _held_by(self) -> str:
        return f"the annotation ipa/hold of ConfigMap {self.deployed.instance} is true"

    def troubles(self) -> dict[str, str]:
        """What keeps the controller from its work now: kind, of `TROUBLES` -> a sentence."""
        look = self.look
        why = look.gateway_problem or look.gateway_delay
        no_gateway = f"no pod of {self.deployed.gateway_name} is ready" + (f": {why}" if why else "")
        sentences = {
            **super().troubles(),
            "no_gateway": no_gateway if look.lacks_gateway else "",
            "held": self._held_by if look.is_held else "",
            "stopped": said({name: why for name, why in look.stopped.items() if name not in look.foreign}),
            "foreign_scaler": said(look.foreign),
            "no_lease": self._not_held,
            "no_api": look.error or self._watch.error,
            "no_replica": said(self._unserved()) if self._is_listed.is_set() else "",
            "lost_node": said(look.lost),
            "no_room": self._room.trouble(look),
            "failed_variant": failed_variants.trouble(self.stages, look.failed),
        }
        return {kind: text for kind, text in sentences.items() if text}

    def _unserved(self) -> dict[str, str]:
        """The stages without a replica that is ready."""
        pods_of_stages = {name: [pod for pod in self._pods.values() if pod.stage == name] for name in self.stages}
        return {
            name: f"none of its {sum(not pod.is_over for pod in members)} replicas is ready"
            for name, members in pods_of_stages.items()
            if not any(pod.is_serving for pod in members)
        }

    def _report(self) -> str:
        return json.dumps({"step": self._step, "troubles": self.troubles()})


def pause_s(look: Look, back_off_s: float) -> float:
    """How long the next look may wait if nothing happens; after one that failed, the back-off."""
    if back_off_s:
        return back_off_s
    if look.done:
        return BETWEEN_LOOKS_S
    return LOOK_EVERY_WHILE_STOPPED_S if look.stopped else LOOK_EVERY_S
