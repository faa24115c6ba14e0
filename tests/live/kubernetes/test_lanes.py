"""Stages that mix variants on a cluster: a Deployment for each lane, kept as the gateway says. No cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from ipa.live.kubernetes import names, overview
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.deployed_lanes import in_force, targets, to_restore
from ipa.live.kubernetes.difference import Apply, ForeignOwnerError, Lane, Scale, difference
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend
from ipa.live.kubernetes.manifests import as_text, disruption_budgets, everything, owner_of, stage_deployment
from ipa.live.kubernetes.permissions import RULES, role
from ipa.live.kubernetes.pods import listing
from ipa.live.kubernetes.pods import read as read_pod
from ipa.live.kubernetes.readiness import is_alone
from ipa.live.kubernetes.reconcile import Reconciler
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState, read_stage
from ipa.policies import Configuration, StageConfiguration, from_plain, mix_of, to_plain
from tests.live.kubernetes.fake import Cluster, Server, apply, running, story
from tests.live.kubernetes.world import made_of, on_server, pod, tiny
from tests.live.world import sort, until

SMALL, LARGE = sort("small", 2)["sort"], sort("large", 1, batch=4)["sort"]
BOTH = mix_of([replace(SMALL, share=0.75), replace(LARGE, share=0.25)])
FIRST, SECOND = "ipa-tiny-stage-sort", "ipa-tiny-lane-1-sort"


def of_lane(
    deployed: Deployed, lane: int, part: StageConfiguration, decided: StageConfiguration, **status: Any
) -> dict[str, Any]:
    """A lane's Deployment as a server would have it: with the part's replicas, ready, unless said otherwise."""
    made = on_server(deployed, part, **status)
    notes = {key: value for key, value in made["metadata"]["annotations"].items() if key == names.REPLICAS}
    fresh = stage_deployment(
        deployed, "sort", part, owner_of({"metadata": {"name": deployed.instance, "uid": "r"}}), lane=lane,
        decided=decided,
    )  # fmt: skip
    spec = fresh["spec"] | {"replicas": made["spec"]["replicas"]}
    fresh["metadata"]["annotations"] |= notes
    fresh["metadata"] |= {key: made["metadata"][key] for key in ("uid", "resourceVersion", "generation")}
    return {**fresh, "spec": spec, "status": made["status"]}


def two_lanes(
    folder: Path,
    first: StageConfiguration = BOTH.parts[0],
    second: StageConfiguration = BOTH.parts[1],
    decided: StageConfiguration = BOTH,
    sound: StageConfiguration | None = None,
    served: tuple[int, ...] = (0, 1),
) -> StageState:
    """A stage with two lanes, of which those `served` have a pod that serves."""
    deployed = tiny(folder)
    second_state = read_stage(
        of_lane(deployed, 1, second, decided), [pod(1, second.variant, lane=1)] if 1 in served else []
    )
    given = of_lane(deployed, 0, first, decided)
    given["metadata"]["annotations"] |= {} if sound is None else {names.SOUND: as_text(sound)}
    return read_stage(given, [pod(0, first.variant)] if 0 in served else [], {1: second_state})


def profile(folder: Path) -> Any:
    return tiny(folder).plane.pipeline.stage("sort")


# ---- the objects ----


def test_the_first_lane_is_the_stage_s_deployment_as_ever_and_no_two_selectors_overlap(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    plain = stage_deployment(deployed, "sort", SMALL)
    first, second = (
        stage_deployment(deployed, "sort", part, lane=lane, decided=BOTH) for lane, part in enumerate((SMALL, LARGE))
    )
    assert first["spec"] == plain["spec"]
    assert {**first["metadata"], "annotations": {}} == {**plain["metadata"], "annotations": {}}
    assert first["metadata"]["annotations"][names.WANTED] == as_text(BOTH)
    assert second["metadata"]["annotations"][names.WANTED] == as_text(LARGE)
    assert (first["metadata"]["name"], second["metadata"]["name"]) == (FIRST, SECOND)
    for one, other in ((first, second), (second, first)):
        selector = one["spec"]["selector"]["matchLabels"].items()
        assert selector <= one["spec"]["template"]["metadata"]["labels"].items()
        assert not selector <= other["spec"]["template"]["metadata"]["labels"].items()


def test_a_pod_says_which_lane_it_is_of_and_the_gateway_is_told(tmp_path: Path) -> None:
    meta = stage_deployment(tiny(tmp_path), "sort", LARGE, lane=1)["spec"]["template"]["metadata"]
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:09Z"}
    made = {"uid": "u", "name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", **meta}
    found = read_pod({"metadata": made, "status": {"podIP": "10.0.0.2", "conditions": [ready]}})
    assert (found.stage, found.lane, found.variant, found.cores) == ("sort", 1, "large", 2)
    first, second = listing([pod(1), found], ["sort"])["sort"]
    assert ("lane" in first, second["lane"]) == (False, 1)


def test_a_mix_has_a_deployment_for_each_variant_and_a_policy_that_mixes_a_budget_for_each_lane(
    tmp_path: Path,
) -> None:
    deployed = tiny(tmp_path)
    mixing = replace(deployed, plane=replace(deployed.plane, mixes=True))

    def budgets(of: Deployed) -> list[str]:
        return [each["metadata"]["name"] for each in disruption_budgets(of)]

    made = everything(deployed, {"sort": BOTH})
    assert [each["metadata"]["name"] for each in made if each["kind"] == "Deployment"][:2] == [FIRST, SECOND]
    assert budgets(deployed) == ["ipa-tiny-gateway", FIRST]
    assert budgets(mixing) == ["ipa-tiny-gateway", FIRST, SECOND]
    selector = disruption_budgets(mixing)[2]["spec"]["selector"]["matchLabels"]
    assert selector == stage_deployment(mixing, "sort", LARGE, lane=1)["spec"]["selector"]["matchLabels"]


def test_the_role_of_a_policy_that_mixes_names_the_lanes_and_any_other_is_as_ever(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    mixing = replace(deployed, plane=replace(deployed.plane, mixes=True))

    def named(of: Deployed) -> list[str]:
        rules = role(of, "r", RULES)["rules"]
        return next(each["resourceNames"] for each in rules if each["resources"] == ["deployments"])

    assert named(deployed) == ["ipa-tiny-gateway", FIRST]
    assert named(mixing) == ["ipa-tiny-gateway", FIRST, SECOND]


# ---- what the Deployments say ----


def test_without_a_gateway_a_variant_keeps_its_lane_and_a_new_one_gets_a_free_one(tmp_path: Path) -> None:
    alone = read_stage(on_server(tiny(tmp_path), SMALL), ())
    stage = profile(tmp_path)
    assert in_force(stage, BOTH, None) == {0: BOTH.parts[0], 1: BOTH.parts[1]}
    assert in_force(stage, LARGE, alone) == {0: LARGE}  # one follows the other in its lane
    assert in_force(stage, BOTH, alone) == {0: BOTH.parts[0], 1: BOTH.parts[1]}
    reverse = mix_of([replace(LARGE, share=0.5), replace(SMALL, share=0.5)])
    assert in_force(stage, reverse, alone) == {0: reverse.parts[1], 1: reverse.parts[0]}


def test_what_is_wanted_no_more_stays_in_its_lane_until_the_gateway_says_that_nobody_waits_there(
    tmp_path: Path,
) -> None:
    state = two_lanes(tmp_path, decided=LARGE)
    parts = in_force(profile(tmp_path), LARGE, state)
    assert {lane: (part.variant, part.replicas) for lane, part in parts.items()} == {0: ("small", 2), 1: ("large", 1)}
    assert state.has_reached(LARGE, alone=False)  # so `up` has nothing to wait for
    assert not state.has_reached(LARGE)
    pipeline = tiny(tmp_path).plane.pipeline
    (found,) = targets(pipeline, {"sort": LARGE}, {"sort": state}, {"sort": {1: LARGE}}).values()
    assert found == {0: replace(SMALL, replicas=0), 1: LARGE}


def test_nothing_shrinks_until_all_that_is_wanted_is_ready(tmp_path: Path) -> None:
    more = mix_of([replace(SMALL, replicas=1, share=0.5), replace(LARGE, replicas=3, share=0.5)])
    state = two_lanes(tmp_path, decided=more)
    parts = in_force(profile(tmp_path), more, state)
    assert {lane: part.replicas for lane, part in parts.items()} == {0: 2, 1: 3}
    grown = two_lanes(tmp_path, second=replace(LARGE, replicas=3), decided=more)
    assert in_force(profile(tmp_path), more, grown) == dict(enumerate(more.parts))


def test_nothing_is_aimed_at_where_the_gateway_has_not_said_what_is_in_force(tmp_path: Path) -> None:
    assert targets(tiny(tmp_path).plane.pipeline, {"sort": BOTH}, {"sort": two_lanes(tmp_path)}, {}) == {}


def test_a_mix_stands_when_every_variant_has_its_replicas_and_there_are_no_others(tmp_path: Path) -> None:
    assert two_lanes(tmp_path).has_reached(BOTH)
    assert not two_lanes(tmp_path, second=replace(LARGE, replicas=2)).has_reached(BOTH)
    assert not two_lanes(tmp_path, decided=LARGE).has_reached(BOTH)
    empty = two_lanes(tmp_path, second=replace(LARGE, replicas=0), decided=SMALL)
    assert empty.has_reached(SMALL)  # a free lane keeps its Deployment, without replicas


@pytest.mark.parametrize(
    ("sound", "served", "shares"),
    [
        (SMALL, (0, 1), {0: ("small", 1.0)}),  # large was about to come
        (BOTH, (0, 1), {0: ("small", 0.75), 1: ("large", 0.25)}),
        (BOTH, (1,), {1: ("large", 1.0)}),  # small has no pod that serves
        (SMALL, (1,), {1: ("large", 1.0)}),  # what stood is gone already
        (None, (0, 1), {0: ("small", 0.75), 1: ("large", 0.25)}),
        (SMALL, (), {0: ("small", 0.75), 1: ("large", 0.25)}),  # nothing serves: what is wanted
    ],
)
def test_a_gateway_that_was_started_anew_is_told_what_stood_as_far_as_it_serves(
    tmp_path: Path, sound: StageConfiguration | None, served: tuple[int, ...], shares: Mapping[int, tuple[str, float]]
) -> None:
    found = to_restore(profile(tmp_path), BOTH, two_lanes(tmp_path, sound=sound, served=served))
    assert {lane: (part.variant, part.share) for lane, part in found.items()} == shares


# ---- the difference ----


def test_a_free_lane_is_scaled_to_nothing_and_else_left_as_it_is(tmp_path: Path) -> None:
    deployed, state = tiny(tmp_path), two_lanes(tmp_path)
    free = replace(LARGE, replicas=0)
    (scale,) = difference(deployed, Lane("sort", free, state.further[1], 1, SMALL), None)
    assert scale == Scale("sort", 0, "7", False, "sort, lane 1: 1 -> 0 replicas", 1)
    state.further[1].given["spec"]["paused"] = True
    assert difference(deployed, Lane("sort", free, state.further[1], 1, SMALL), None) == [scale]
    with pytest.raises(ForeignOwnerError, match=f"kubectl rollout resume deployment/{SECOND}"):
        difference(deployed, Lane("sort", LARGE, state.further[1], 1, BOTH), None)


def test_the_first_lane_s_deployment_remembers_what_is_wanted_and_sound_even_while_it_is_free(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    free = replace(SMALL, replicas=0)
    owner = owner_of({"metadata": {"name": deployed.instance, "uid": "r"}})
    state = two_lanes(tmp_path, first=free, decided=LARGE, sound=BOTH)
    (applied,) = difference(deployed, Lane("sort", free, state, 0, LARGE), owner)
    assert isinstance(applied, Apply)
    notes = applied.manifest["metadata"]["annotations"]
    assert (notes[names.WANTED], notes[names.SOUND]) == (as_text(LARGE), as_text(LARGE))
    rolling = applied.manifest["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}  # the server refuses 0 and 0


# ---- looks ----


def looker(folder: Path, decided: StageConfiguration, *lanes: StageConfiguration) -> tuple[Server, Reconciler]:
    deployed = tiny(folder)
    server = Server(deployed, None)
    server.stages = [of_lane(deployed, lane, part, decided) for lane, part in enumerate(lanes)]
    return server, Reconciler(server, deployed)  # type: ignore[arg-type]


def test_a_look_makes_what_is_in_force_and_takes_nothing_away_that_is(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, SMALL, SMALL)
    look = reconciler.reconcile({"sort": BOTH}, [], lanes={"sort": {0: SMALL, 1: BOTH.parts[1]}})
    assert (server.written, look.done[1]) == ([FIRST, SECOND], "sort, lane 1 does not exist")
    assert not look.is_complete({"sort": BOTH})


def test_a_look_ends_a_lane_that_is_not_in_force(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, LARGE, SMALL, LARGE)
    reconciler.reconcile({"sort": LARGE}, [], lanes={"sort": {1: LARGE}})
    assert server.written == [(FIRST, 0, "7")]


def test_replicas_of_a_lane_that_another_sets_are_set_back_and_the_lane_is_named(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, BOTH, *BOTH.parts)
    for times in range(4):
        server.stages[1]["spec"]["replicas"] = 3
        look = reconciler.reconcile({"sort": BOTH}, [])
        assert look.foreign["sort"].startswith("lane 1: somebody ")
        assert bool(look.stopped) == (times == 3)
    assert server.written.count((SECOND, 1, "7")) == 3
    assert look.stopped["sort"].startswith("lane 1: somebody keeps setting its replicas, now 3 (wanted: 1)")


def test_a_variant_that_fails_beside_one_that_stands_is_the_stage_s_problem(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, BOTH, *BOTH.parts)
    server.stages[1]["status"] |= {"updatedReplicas": 0, "replicas": 0, "availableReplicas": 0}
    server.stages[1]["metadata"]["uid"] = "of-the-second"
    for said, failed, out_of_room in (
        ('pods "x" is forbidden: no', {"sort": 'variant large: pods "x" is forbidden: no'}, {}),
        ("exceeded quota", {}, {"sort": "exceeded quota"}),
    ):
        server.sets = [made_of(server.stages[0]), made_of(server.stages[1], refusal=said)]
        look = reconciler.reconcile({"sort": BOTH}, [])
        assert (look.failed, look.out_of_room) == (failed, out_of_room)


def test_status_tells_of_all_lanes(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    server = Server(deployed, None)
    server.stages = [of_lane(deployed, lane, part, BOTH) for lane, part in enumerate(BOTH.parts)]
    server.root["metadata"]["annotations"] = {}  # type: ignore[index]
    server.groups = lambda: frozenset({"apps/v1"})  # type: ignore[attr-defined]
    said = overview.status(server, deployed)  # type: ignore[arg-type]
    stage = said["stages"]["sort"]
    assert (stage["wanted"], stage["replicas"], stage["complete"]) == (to_plain(BOTH), 3, True)
    assert said["leftovers"] == []


# ---- the backend ----


def wanted(part: StageConfiguration) -> Configuration:
    return {"sort": part}


def is_told(cluster: Cluster, part: StageConfiguration) -> bool:
    """Whether the latest that the gateway was told is this."""
    return {name: from_plain(each) for name, each in cluster.configured[-1].items()} == wanted(part)


async def looked_twice(cluster: Cluster) -> None:
    """Wait until whatever follows from what is so now has been done."""
    count = cluster.asked_gateway
    await until(lambda: cluster.asked_gateway >= count + 3, "two looks")


def test_a_mix_is_rolled_out_before_anything_shrinks_and_goes_back_when_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From two small ones to one small and one large one, and on to large alone: in the lane that it has."""
    both = mix_of([replace(SMALL, replicas=1, share=0.75), replace(LARGE, share=0.25)])

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.treat("large", hangs=True)
        assert (await apply(backend, wanted(both))).accepted
        await until(lambda: cluster.of_lanes() == {0: ("small", 2), 1: ("large", 1)}, "large starts beside two small")
        assert cluster.plan.table == ((0, float("inf")),)
        cluster.treat("large")
        await until(lambda: cluster.of_lanes() == {0: ("small", 1), 1: ("large", 1)}, "the shares are in force")
        await until(lambda: backend.look.is_complete(wanted(both)), "it stands")
        await until(lambda: is_alone(backend._pods.values(), wanted(both)), "the watch has seen it")
        seen = (await asyncio.to_thread(backend.observe)).stages["sort"]
        assert {name: each.ready for name, each in seen.replicas.items()} == {"small": 1, "large": 1}
        cluster.present = [3, 0]
        assert (await apply(backend, wanted(LARGE))).accepted
        count = len(cluster.written)
        await until(lambda: len(cluster.written) > count, "what is wanted is written")
        await looked_twice(cluster)
        assert cluster.of_lanes() == {0: ("small", 1), 1: ("large", 1)}  # three requests are still there
        cluster.present = [0, 0]
        await until(lambda: cluster.of_lanes() == {0: ("small", 0), 1: ("large", 1)}, "nobody waits any more")
        await until(lambda: backend.look.is_complete(wanted(LARGE)), "large stands alone")
        assert (await apply(backend, wanted(SMALL))).accepted
        await until(lambda: cluster.of_lanes() == {0: ("small", 0), 1: ("small", 2)}, "one follows one in its lane")
        await until(lambda: len(backend.stages["sort"].ready) == 2, "the watch has seen that too")
        records = backend.stages["sort"].records()
        assert records.lanes is not None
        assert sorted(zip(records.variant, records.lanes.lane.tolist(), strict=True)) == [
            ("large", 1), ("small", 0), ("small", 0), ("small", 1), ("small", 1),
        ]  # fmt: skip

    story(tmp_path, monkeypatch, told, initial=wanted(SMALL))


def test_a_mix_may_be_what_stands_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        assert cluster.of_lanes() == {0: ("small", 2), 1: ("large", 1)}
        assert [number for number, _ in cluster.plan.table] == [0, 1]
        assert backend.configured["sort"] == [(0.0, 1)]

    story(tmp_path, monkeypatch, told, initial=wanted(BOTH))


def test_a_gateway_that_is_started_anew_in_a_change_is_told_what_stood_and_what_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.treat("large", hangs=True)
        await apply(backend, wanted(BOTH))
        await until(lambda: cluster.of_lanes().get(1) == ("large", 1), "large starts")
        cluster.restart_gateway()
        await until(lambda: is_told(cluster, BOTH), "it is told what is wanted")
        assert cluster.stood == [{"sort": [to_plain(SMALL)]}]
        assert cluster.plan.table == ((0, float("inf")),)  # small alone serves
        assert cluster.of_lanes() == {0: ("small", 2), 1: ("large", 1)}
        cluster.treat("large")
        await until(lambda: len(cluster.plan.table) == 2, "the shares are in force")
        await until(lambda: backend.look.is_complete(wanted(BOTH)), "the change has come to its end")
        assert cluster.made == 3  # no pod was made twice

    story(tmp_path, monkeypatch, told, initial=wanted(SMALL))


def test_a_gateway_that_refuses_what_stood_is_told_what_is_wanted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.stood.clear()
        cluster.unstood = ApiError("PUT", 400, "batch 16 is no batch of large")
        cluster.restart_gateway()
        await until(lambda: is_told(cluster, BOTH), "it is told what is wanted")
        assert cluster.stood == []
        await until(lambda: backend.look.is_complete(wanted(BOTH)), "it stands")

    story(tmp_path, monkeypatch, told, initial=wanted(BOTH))


def test_a_gateway_that_is_started_anew_is_told_of_a_variant_that_is_alone_in_a_further_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        await apply(backend, wanted(LARGE))
        await until(lambda: backend.look.is_complete(wanted(LARGE)), "large stands alone")
        assert cluster.of_lanes() == {0: ("small", 0), 1: ("large", 1)}
        count = cluster.made
        cluster.restart_gateway()
        await until(lambda: cluster.configured[-1], "it is told")
        assert [number for number, _ in cluster.plan.table] == [1]
        await looked_twice(cluster)
        assert (cluster.of_lanes(), cluster.made) == ({0: ("small", 0), 1: ("large", 1)}, count)

    story(tmp_path, monkeypatch, told, initial=wanted(BOTH))


@pytest.mark.parametrize("is_gateway_new", [False, True])
def test_a_controller_that_is_killed_in_a_change_is_succeeded_by_one_that_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_gateway_new: bool
) -> None:
    """The gateway may have been started anew meanwhile; the Deployments then say what stood."""
    both = mix_of([replace(SMALL, replicas=1, share=0.75), replace(LARGE, share=0.25)])

    async def first(backend: KubernetesBackend, cluster: Cluster) -> Cluster:
        cluster.treat("large", hangs=True)
        await until(lambda: backend.look.is_complete(wanted(SMALL)), "small stands")
        await until(
            lambda: names.SOUND in cluster.rollouts[FIRST].stage["metadata"]["annotations"], "it is known as sound"
        )
        await apply(backend, wanted(both))
        await until(lambda: cluster.of_lanes().get(1) == ("large", 1), "large starts")
        return cluster

    async def run() -> None:
        async with running(tmp_path, monkeypatch, initial=wanted(SMALL)) as (backend, cluster):
            left = await first(backend, cluster)

        def prepare(cluster: Cluster) -> None:
            vars(cluster).update(vars(left))
            for each in cluster.rollouts.values():
                each.of = cluster
            if is_gateway_new:
                cluster.restart_gateway()

        async with running(tmp_path, monkeypatch, prepare, adopts=True) as (backend, cluster):
            assert backend.wanted == wanted(both)
            await until(lambda: is_told(cluster, both), "the gateway has it")
            assert cluster.of_lanes() == {0: ("small", 2), 1: ("large", 1)}
            assert cluster.plan.table == ((0, float("inf")),)
            cluster.treat("large")
            await until(lambda: cluster.of_lanes() == {0: ("small", 1), 1: ("large", 1)}, "it is ended")
            await until(lambda: backend.look.is_complete(wanted(both)), "it stands")
            assert cluster.made == 3

    asyncio.run(run())


def test_a_variant_of_a_mix_that_will_not_start_is_rolled_back_and_the_other_serves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.treat("large", crashes=True)
        assert (await apply(backend, wanted(BOTH))).accepted
        await until(lambda: backend.stages["sort"].failed_variants == ("large",), "it is given up")
        await until(lambda: cluster.of_lanes() == {0: ("small", 2), 1: ("large", 0)}, "its lane is free")
        await until(lambda: backend.look.is_complete(wanted(SMALL)), "small stands")
        assert backend.rollbacks["sort", "large"] == 1
        again = await apply(backend, wanted(BOTH))
        assert again.reason == "sort: variant large has failed to start and is left out for now"

    story(tmp_path, monkeypatch, told, initial=wanted(SMALL))
