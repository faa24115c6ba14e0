"""Stages that mix variants, in virtual time: the gateway's router, and the replicas of live mode, rolled out by lane.

Router and `StageReplicas` are those of live runs. What a backend carries to and fro between them is done here at once:
the gateway learns of replicas, and the backend of what is in force in the lanes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ipa.live.serving.request import Batch, RoutedReplica
from ipa.live.stage_replicas import Replica, StageReplicas
from ipa.policies import StageConfiguration
from ipa.sim import NEVER, rules
from tests.live.serving import gateway_world
from tests.live.serving.gateway_world import GatewayWorld, endless, life, request_told


class MixedWorld(GatewayWorld):
    """Runs a scenario with the key `mix_draws`."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.replicas: list[StageReplicas] = []
        self._lane_draws: dict[tuple[str, int, int], Any] = {}
        self._finish_s: dict[tuple[int, int], float] = {}
        super().__init__(scenario)

    def _stand(self, stage: int, wanted: StageConfiguration) -> None:
        surge, unavailable = self._scenario["max_surge"], self._scenario["max_unavailable"]
        replicas = StageReplicas(str(stage), wanted, surge, unavailable)
        self.replicas.append(replicas)
        replicas.put_in_force()
        for lane, part in replicas.in_force.items():
            for _ in range(part.replicas):
                next(self._draws("start_up_factors", stage, lane))
                replicas.create(0.0, lane).ready_s = 0.0

    def _draws(self, key: str, stage: int, lane: int) -> Any:
        if (key, stage, lane) not in self._lane_draws:
            of_lanes = self._scenario.get(f"lane_{key}")
            given = self._scenario if of_lanes is None else {key: [*([[]] * stage), of_lanes[stage][lane]]}
            self._lane_draws[key, stage, lane] = endless(given, key, stage)
        return self._lane_draws[key, stage, lane]

    # ---- events ----

    def start(self, batch: Batch) -> None:
        replica = self.replicas[batch.stage].all[batch.replica.number]
        latency_s = self._table(batch.stage, replica.variant, batch.replica.cores)[batch.size]
        factor = next(self._draws("factors", batch.stage, batch.lane))
        finish_s = rules.finish_s(self._now_s, latency_s, factor)
        self._finish_s[batch.stage, replica.number] = finish_s
        replica.is_busy = True
        self._at(finish_s, rules.COMPLETION, batch.stage, self._complete, batch, replica)

    def _after_event(self) -> None:
        """A lane that has become free gives up its replicas."""
        for stage, replicas in enumerate(self.replicas):
            if replicas.is_laned and set(replicas.in_force) - set(self.router.lanes[stage].in_force):
                self._follow(stage)
                self._roll_out_lanes(stage, replicas.lane_numbers)

    def _apply(self, stage: int, wanted: StageConfiguration) -> None:
        replicas = self.replicas[stage]
        self.router.configure_stage(stage, wanted)
        replicas.configuration = wanted
        self._follow(stage)
        if self._scenario.get("resize") == "in_place":
            replicas.resize(self._now_s)
        self._roll_out_lanes(stage, replicas.lane_numbers)
        self.router.attempt(stage, self._now_s)

    def _activate(self, stage: int, replica: Any) -> None:
        if replica.is_removed:
            return
        replica.ready_s = self._now_s
        if self._roll_out_lanes(stage, [replica.lane]):
            self._follow(stage)
            self._roll_out_lanes(stage, self.replicas[stage].lane_numbers)
            self.router.attempt(stage, self._now_s)
        else:
            self.router.attempt(stage, self._now_s, [replica.lane])

    def _follow(self, stage: int) -> None:
        """As a backend does where a stage mixes variants."""
        if self.replicas[stage].is_laned:
            self.replicas[stage].follow(self.router.lanes[stage].in_force, self._now_s, self._now_s)

    def _roll_out_lanes(self, stage: int, lanes: Any) -> bool:
        """A rollout step of each lane, of which the gateway learns; whether shares take effect by that."""
        replicas = self.replicas[stage]
        for lane in lanes:
            change = replicas.roll_out(self._now_s, lane)
            for gone in change.remove:
                gone.removed_s = self._now_s
            for _ in range(change.create):
                made = replicas.create(self._now_s, lane)
                start_up_s = self._stages[stage]["variants"][made.variant]["start_up_s"]
                ready_s = self._now_s + start_up_s * next(self._draws("start_up_factors", stage, lane))
                self._at(ready_s, rules.REPLICA, stage, self._activate, stage, made)
        return self._list(stage)

    def _list(self, stage: int) -> bool:
        return self.router.list_replicas(
            stage,
            {
                (each.number, ""): partial(
                    RoutedReplica, each.number, each.variant, max(self._table(stage, each.variant, each.cores)),
                    cores=each.cores, lane=each.lane,
                )
                for each in self.replicas[stage].ready
            },
        )  # fmt: skip

    # ---- the result, as the oracle gives it ----

    def _result(self, end_s: float) -> dict[str, Any]:
        resizes = self._scenario.get("resize") == "in_place"
        requests = [request_told(request) for request in self.requests]
        replicas = []
        for stage, of in enumerate(self.replicas):
            order = sorted(of.all, key=lambda each: (each.created_s, each.lane, each.number))
            place = {each.number: k for k, each in enumerate(order)}
            lives = [life(self._lived(stage, each), self._stop_s, end_s, resizes=resizes) for each in order]
            replicas.append([{**each, "id": k} for k, each in enumerate(lives)])
            visits = [found["stages"][stage] for found in requests if len(found["stages"]) > stage]
            batches = sorted({self._batch_key(of, visit) for visit in visits if "start" in visit})
            for visit in visits:
                if "start" in visit:
                    visit["batch_id"] = batches.index(self._batch_key(of, visit))
                    visit["replica"] = place[visit["replica"]]
        return {"requests": requests, "replicas": replicas, "end_s": end_s}

    @staticmethod
    def _batch_key(of: StageReplicas, visit: dict[str, Any]) -> tuple[float, int, int]:
        return visit["start"], of.all[visit["replica"]].lane, visit["batch_id"]

    def _lived(self, stage: int, replica: Replica) -> gateway_world.Replica:
        first_cores = replica.resizes[0][1] if replica.resizes else replica.cores
        ready_s, removed_s = (None if each == NEVER else each for each in (replica.ready_s, replica.removed_s))
        finish_s = self._finish_s.get((stage, replica.number), 0.0)
        return gateway_world.Replica(
            replica.number, replica.variant, first_cores, replica.created_s, ready_s, removed_s, finish_s,
            resized=[(time_s, cores) for time_s, _, cores in replica.resizes],
        )  # fmt: skip


def simulate(scenario: dict[str, Any]) -> dict[str, Any]:
    """What gateway and replicas make of a scenario."""
    return MixedWorld(scenario).run()
