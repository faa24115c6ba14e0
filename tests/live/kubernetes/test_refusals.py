"""What keeps pods from coming is told of the present template alone, whatever became of those before. No cluster."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.deployments import Obstacle
from ipa.live.kubernetes.failed_variants import rollback
from ipa.live.kubernetes.reconcile import STALE_READS, Reconciler
from ipa.live.kubernetes.stage_state import Look, StageState
from ipa.policies import StageConfiguration
from tests.live.kubernetes.fake import Rolling, Treatment, three_variants
from tests.live.kubernetes.world import made_of, on_server, refused, settings_of, tiny
from tests.live.world import sort

SMALL, LARGE = sort("small", 2)["sort"], sort("large", 2)["sort"]
MIDDLE = replace(SMALL, variant="middle")

QUOTA = 'pods "{name}" is forbidden: exceeded quota: few, requested: requests.cpu=2, used: requests.cpu=2'
RANGE = 'pods "{name}" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
WEBHOOK = 'admission webhook "policy.example.com" denied the request: not now'
NO_ROOM = "0/1 nodes are available: 1 Insufficient cpu."

World = tuple[Rolling, Reconciler]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two small ones stand. A middle one has stood before them: its ReplicaSet is still there, without pods."""
    server = Rolling(three_variants(tmp_path))
    server.stand(MIDDLE)
    server.stand(SMALL)
    assert [each["spec"]["replicas"] for each in server.sets] == [0, 2]
    return server, Reconciler(server, server.deployed)  # type: ignore[arg-type]


def course(world: World, wanted: StageConfiguration, until: Callable[[Look], object] = lambda _: False) -> list[Look]:
    """A look before and after each step of the cluster, until something is seen or nothing is left to do."""
    server, reconciler = world
    found: list[Look] = []
    while not found or found[-1].done or any(True for _ in server.steps()):
        steps = server.steps()
        while True:
            found.append(reconciler.reconcile({"sort": wanted}, server.seen()))
            assert len(found) < 500, found[-1].done
            if until(found[-1]):
                return found
            if next(steps, found) is found:
                break
    return found


def judged(looks: Sequence[Look]) -> set[str]:
    """All that was said to be wrong."""
    return {why for look in looks for found in (look.failed, look.out_of_room) for why in found.values()}


def said(look: Look) -> tuple[str, str]:
    return look.failed.get("sort", ""), look.out_of_room.get("sort", "")


# ---- what follows a variant that cannot come ----

AILMENTS = {
    "is over the quota": Treatment(refusal=QUOTA),
    "is refused": Treatment(refusal=RANGE),
    "finds no room": Treatment(unschedulable=NO_ROOM),
    "crashes": Treatment(crashes=True),
    "has no image": Treatment(waits="ImagePullBackOff"),
    "is never ready": Treatment(hangs=True),
}


@pytest.mark.parametrize("treatment", AILMENTS.values(), ids=AILMENTS)
@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "after its deadline"])
@pytest.mark.parametrize("is_known", [False, True], ids=["a new one", "one that stood before"])
@pytest.mark.parametrize("replicas", [1, 4])
def test_a_variant_that_follows_one_that_cannot_come_is_not_blamed_for_it(
    world: World, treatment: Treatment, is_late: bool, is_known: bool, replicas: int
) -> None:
    server, wanted = world[0], replace(MIDDLE, replicas=replicas)
    if not is_known:
        (rollout,) = server.rollouts.values()
        rollout.sets = [each for each in rollout.sets if each["spec"]["replicas"]]
    server.treats["large"] = treatment
    ailing = course(world, LARGE)
    if is_late:
        server.now_s += 3600.0
        ailing = course(world, LARGE)
    assert any(said(ailing[-1])) or ((treatment.hangs or treatment.waits) and not is_late)
    followed = course(world, wanted)
    assert followed[-1].is_complete({"sort": wanted})
    assert judged(followed) == set()


@pytest.mark.parametrize("nodes_within_s", [60.0, 180.0])
def test_a_variant_whose_node_comes_late_and_pulls_its_image_has_all_its_time(
    tmp_path: Path, nodes_within_s: float
) -> None:
    """The node is there after 105 s, and 90 s later the image. By then Kubernetes has given the rollout up, whose
    deadline has run from its beginning."""
    deployed = three_variants(tmp_path)
    deployed = replace(deployed, settings=settings_of(deployed.settings, cluster__nodes_within_s=nodes_within_s))
    server = Rolling(deployed)
    server.stand(SMALL)
    world = server, Reconciler(server, deployed)  # type: ignore[arg-type]
    server.treats["large"] = Treatment(unschedulable=NO_ROOM)
    assert said(course(world, LARGE)[-1])[1].endswith(NO_ROOM)
    for later_s, treatment in (
        (105.0, Treatment(waits="ContainerCreating")),
        (90.0, Treatment(hangs=True)),
        (121.0, Treatment(hangs=True)),
    ):
        server.now_s += later_s
        looks = course(world, LARGE)  # before the change
        server.treats["large"] = treatment
        looks += course(world, LARGE)
        assert {why for look in looks for why in look.failed.values()} == set()
    conditions = {each["type"]: each for each in server.stage["status"]["conditions"]}
    assert conditions["Progressing"]["reason"] == "ProgressDeadlineExceeded"
    server.now_s += 1.0
    assert "has not been ready for 121 s" in said(course(world, LARGE)[-1])[0]
    server.treats.clear()
    assert course(world, LARGE)[-1].is_complete({"sort": LARGE})


def test_a_variant_that_follows_a_refused_one_has_its_own_refusal_told(world: World) -> None:
    """Its Deployment goes on telling that of the one before, as long as either is refused."""
    server, _ = world
    server.treats = {"large": Treatment(refusal=RANGE), "middle": Treatment(refusal=WEBHOOK)}
    assert said(course(world, LARGE)[-1])[0].startswith('variant large: pods "ipa-tiny-stage-sort-')
    followed = course(world, MIDDLE, until=lambda look: look.delays)
    assert judged(followed) == set()
    assert followed[-1].delays == {"sort": WEBHOOK}


def test_a_variant_that_has_stood_before_and_is_now_refused_is_told_at_once(world: World) -> None:
    """No rollout is under way but the one that has ended with the variant before."""
    server, _ = world
    server.treats["middle"] = Treatment(refusal=RANGE)
    found = said(course(world, MIDDLE, until=lambda look: look.failed)[-1])[0]
    assert found.startswith('variant middle: pods "ipa-tiny-stage-sort-')
    assert "maximum cpu usage" in found


def test_a_variant_that_has_stood_before_and_is_now_refused_for_the_time_being_has_until_the_deadline(
    world: World,
) -> None:
    """Which Kubernetes does not set where a template has had pods before and gets none."""
    server, _ = world
    server.treats["middle"] = Treatment(refusal=WEBHOOK)
    deadline_s = 121  # without the time that a node may take: none is waited for
    assert course(world, MIDDLE)[-1].delays == {"sort": WEBHOOK}
    server.now_s += deadline_s
    assert course(world, MIDDLE)[-1].failed == {}
    server.now_s += 1.0
    look = course(world, MIDDLE)[-1]
    assert look.failed == {"sort": f"variant middle: refused for {deadline_s} s: {WEBHOOK}"}
    server.treats.clear()
    assert course(world, MIDDLE)[-1].is_complete({"sort": MIDDLE})


def test_a_pod_that_crashes_is_that_of_the_pipeline_s_file_that_it_has(world: World) -> None:
    """Another file makes other pods of the same container; those of before, which crash, go once they are there."""
    server, _ = world
    server.treats["large"] = Treatment(crashes=True)
    assert said(course(world, LARGE)[-1])[0] == "variant large: CrashLoopBackOff after 5 restarts"
    mended = replace(server.deployed, pipeline_file=f"{server.deployed.pipeline_file}# mended\n")
    again = Rolling(mended)
    again.rollouts = server.rollouts
    for each in again.rollouts.values():
        each.of = again
    looks = course((again, Reconciler(again, mended)), LARGE)  # type: ignore[arg-type]
    assert looks[-1].is_complete({"sort": LARGE})
    assert judged(looks) == set()


@pytest.mark.parametrize("seed", range(4))
def test_a_variant_that_nothing_ails_is_blamed_for_nothing_whatever_becomes_of_the_others(
    world: World, seed: int
) -> None:
    """Decisions and ailments come at any moment, and so do looks."""
    server, reconciler = world
    draw = random.Random(seed)
    wanted, steps = SMALL, server.steps()
    for _ in range(150):
        if draw.random() < 0.15:
            wanted = replace(draw.choice((SMALL, MIDDLE, LARGE)), replicas=draw.randint(1, 4))
        if draw.random() < 0.1:
            server.treats[draw.choice(("middle", "large"))] = draw.choice([Treatment(), *AILMENTS.values()])
        if draw.random() < 0.1:
            server.failing = [ApiError("PATCH", draw.choice((409, 429, 500)), "not now")]
        look = reconciler.reconcile({"sort": wanted}, server.seen())
        assert wanted.variant != "small" or judged([look]) == set()
        if next(steps, server) is server:
            steps = server.steps()
    server.failing = []
    assert course(world, SMALL)[-1].is_complete({"sort": SMALL})


# ---- what is not yet there ----


@pytest.mark.parametrize("status", [500, 409, 403])
def test_where_a_write_does_not_get_through_what_was_there_says_nothing_of_what_is_wanted(
    world: World, status: int
) -> None:
    server, reconciler = world
    server.treats["large"] = Treatment(refusal=RANGE)
    assert course(world, LARGE)[-1].failed
    server.failing = [ApiError("PATCH", status, "no") for _ in range(STALE_READS)]
    look = reconciler.reconcile({"sort": MIDDLE}, server.seen())
    assert (look.failed, bool(look.error or look.stopped)) == ({}, True)
    look = reconciler.reconcile({"sort": MIDDLE}, server.seen(), may_write=lambda: False)
    assert (look.failed, look.error) == ({}, "the Lease is not held")


def test_a_gateway_whose_new_template_is_not_written_yet_is_not_given_up_for_its_old_one(world: World) -> None:
    """`up` ends at once where it finds something hopeless."""
    server, reconciler = world
    server.gateway["status"] = {"observedGeneration": 1, "conditions": [refused(RANGE)]}
    server.sets = [made_of(server.gateway, refusal=RANGE)]
    assert reconciler.reconcile({"sort": SMALL}, server.seen()).hopeless == f"the gateway: {RANGE}"
    server.gateway["spec"]["template"]["spec"]["containers"][0]["image"] = "the-one-before"
    assert reconciler.reconcile({"sort": SMALL}, server.seen(), may_write=lambda: False).hopeless == ""


# ---- what is asked ----


def test_a_variant_that_has_stood_alone_with_other_cores_gets_those_back(tmp_path: Path) -> None:
    one, two = SMALL, replace(SMALL, cores=2)
    given = on_server(tiny(tmp_path), one)  # whatever the cores that its template has
    state = StageState(given, wanted=two, sound=one, obstacle=Obstacle("variant small: CrashLoopBackOff"))
    assert rollback(state, two) == one
    assert rollback(replace(state, sound=two), two) is None  # as with an image that does not come: cores are not why
    assert rollback(replace(state, sound=LARGE), two) == LARGE


def test_replica_sets_are_read_only_while_something_is_missing(world: World) -> None:
    server, reconciler = world
    course(world, SMALL)
    server.asked.clear()
    reconciler.reconcile({"sort": SMALL}, server.seen())
    assert "ReplicaSet" not in server.asked
    assert "ReplicaSet" in (course(world, LARGE) and server.asked)


def test_without_leave_to_read_replica_sets_a_rollout_goes_its_way(world: World) -> None:
    server, _ = world
    server.forbidden = {"ReplicaSet"}
    server.treats["large"] = Treatment(refusal=RANGE)
    refusing = course(world, LARGE)
    assert judged(refusing) == set()
    assert "maximum cpu usage" in refusing[-1].delays["sort"]
    server.now_s += 3600.0
    assert said(course(world, LARGE)[-1])[0].startswith('variant large: ReplicaSet "ipa-tiny-stage-sort-')
    assert course(world, SMALL)[-1].is_complete({"sort": SMALL})
