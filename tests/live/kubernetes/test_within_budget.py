"""A limit of cores on a cluster: in rollouts as Kubernetes makes them, no more cores exist than a stage may have."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ipa.live.kubernetes import names, pods
from ipa.live.kubernetes.difference import Apply, difference
from ipa.live.kubernetes.manifests import stage_deployment
from ipa.live.kubernetes.reconcile import Reconciler
from ipa.live.kubernetes.stage_state import StageState, read_stage
from ipa.live.kubernetes.within_budget import Allowed, Budget, committed_cores, divided
from ipa.policies import Applied, StageConfiguration
from tests.live.kubernetes.fake import Cluster, Rolling, apply, story, three_variants
from tests.live.kubernetes.world import tiny
from tests.live.world import sort, until


def cores(pods: Any) -> int:
    return sum(int(pod["metadata"]["labels"][names.CORES]) for pod in pods)


class Drained:
    """Counts the cores of a server's pods; what was removed has its own until the next pod is ready, or all stands."""

    def __init__(self, server: Rolling) -> None:
        self.server = server
        self.before: dict[str, Any] = {}
        self.draining: dict[str, Any] = {}
        self.ready = 0

    def count(self) -> int:
        pods = {pod["metadata"]["uid"]: pod for pod in self.server.pods}
        ready = sum(any(each["type"] == "Ready" for each in pod["status"]["conditions"]) for pod in pods.values())
        if ready > self.ready:
            self.draining = {}
        self.draining |= {uid: pod for uid, pod in self.before.items() if uid not in pods}
        self.before, self.ready = pods, ready
        return cores([*pods.values(), *self.draining.values()])


def rolled_out(
    server: Rolling, wanted: StageConfiguration, budget: Budget, lacked: list[bool] | None = None
) -> Iterator[int]:
    """The cores that exist after each write, until nothing more is done."""
    reconciler, count = Reconciler(server, server.deployed), Drained(server)  # type: ignore[arg-type]
    count.count()
    for _ in range(40):
        look = reconciler.reconcile({"sort": wanted}, server.seen(), budgets=lambda _: {"sort": budget})
        if lacked is not None:
            lacked.append("sort" in look.lacking)
        for _ in server.steps():
            yield count.count()
        count.draining = {}
        if not look.done:
            return
    raise AssertionError("it goes on for ever")


Size = tuple[str, int]
SIZES: list[Size] = [*product(("small", "large"), (1, 2, 4))]


CHANGES = [*product(SIZES, SIZES)]


@pytest.mark.parametrize("more", [0, 1, 3, 8])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_no_rollout_has_more_cores_than_its_stage_and_all_that_fit_come_to_their_end(
    tmp_path: Path, before: Size, after: Size, more: int
) -> None:
    server = Rolling(tiny(tmp_path))
    server.stand(sort(*before)["sort"])
    wanted = sort(*after)["sort"]
    most = cores(server.pods) + more
    budget = Budget.of(wanted.replicas, most, server.deployed.plane)
    assert max(rolled_out(server, wanted, budget), default=0) <= most
    fits = min(wanted.replicas, most // wanted.cores)
    expected = [str(wanted.cores)] * fits if fits else [pod["metadata"]["labels"][names.CORES] for pod in server.pods]
    assert [pod["metadata"]["labels"][names.CORES] for pod in server.pods] == expected
    if not fits:
        assert {pod["metadata"]["annotations"][names.VARIANT] for pod in server.pods} == {before[0]}


@pytest.mark.parametrize(("most", "fewest", "largest"), [(7, 2, 3), (4, 1, 2)])
def test_with_room_a_rollout_adds_before_it_removes_and_without_it_removes_first(
    tmp_path: Path, most: int, fewest: int, largest: int
) -> None:
    """Two of two cores each are replaced by two of one."""
    server = Rolling(tiny(tmp_path))
    server.stand(sort("large", 2)["sort"])
    counts = [len(server.pods) for _ in rolled_out(server, sort("small", 2)["sort"], Budget(most, 1, 0, replaces=True))]
    assert (min(counts), max(counts)) == (fewest, largest)


def test_one_that_is_to_wait_stays_as_it_is_until_there_is_room(tmp_path: Path) -> None:
    server = Rolling(tiny(tmp_path))
    server.stand(sort("small", 2)["sort"])
    wanted, lacked = sort("large", 2)["sort"], list[bool]()
    list(rolled_out(server, wanted, Budget(4, 1, 0, replaces=False), lacked))
    assert {pod["metadata"]["annotations"][names.VARIANT] for pod in server.pods} == {"small"}
    assert lacked == [True]
    list(rolled_out(server, wanted, Budget(7, 1, 0, replaces=False), lacked))
    assert [pod["metadata"]["annotations"][names.VARIANT] for pod in server.pods] == ["large", "large"]
    assert not lacked[-1]


def state_of(server: Rolling, draining: Iterable[Any] = ()) -> StageState:
    ended = [{**pod, "metadata": pod["metadata"] | {"deletionTimestamp": server.timestamp()}} for pod in draining]
    return read_stage(server.stage, [*server.seen(), *pods.ours(ended)])


@pytest.mark.parametrize("replaces", [True, False])
@pytest.mark.parametrize("more", [1, 3])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_rollout_that_has_begun_never_takes_more_than_is_known_of_it(
    tmp_path: Path, before: Size, after: Size, more: int, replaces: bool
) -> None:
    """From any moment on, the Deployment as it is then; and that is within the budget that let it begin."""
    server, wanted = Rolling(tiny(tmp_path)), sort(*after)["sort"]
    server.stand(sort(*before)["sort"])
    budget = Budget(cores(server.pods) + more, 1, 0, replaces)
    reconciler, count = Reconciler(server, server.deployed), Drained(server)  # type: ignore[arg-type]
    while True:
        look = reconciler.reconcile({"sort": wanted}, server.seen(), budgets=lambda _: {"sort": budget})
        committed = [committed_cores(state_of(server))]
        assert committed[0] <= budget.cores
        for _ in server.steps():
            assert count.count() <= min(committed)
            committed.append(committed_cores(state_of(server, count.draining.values())))
        count.draining = {}
        if not look.done:
            return


def test_no_stage_gets_the_room_of_a_rollout_that_has_begun_at_another(tmp_path: Path) -> None:
    """Two of one core become two others: first one more comes, and drains while the last one comes."""
    server = Rolling(three_variants(tmp_path))
    server.stand(sort("small", 2)["sort"])
    wanted = {"sort": replace(sort("small", 2)["sort"], variant="middle"), "next": sort("small", 9)["sort"]}
    assert divided(6, wanted, {"sort": state_of(server)}) == {"sort": 2, "next": 4}
    reconciler, budget = Reconciler(server, server.deployed), Budget(4, 1, 0, replaces=False)  # type: ignore[arg-type]
    reconciler.reconcile({"sort": wanted["sort"]}, server.seen(), budgets=lambda _: {"sort": budget})
    for _ in server.steps():
        if len(server.pods) == 3:
            break
    assert divided(6, wanted, {"sort": state_of(server)}) == {"sort": 4, "next": 2}


def test_with_a_limit_a_rollout_waits_until_what_drains_has_ended(tmp_path: Path) -> None:
    """One second in which requests still come, at most one of its batch, and one until it has stopped."""
    plain = tiny(tmp_path)
    limited = replace(plain, plane=replace(plain.plane, most_cores=4, stop_s=1.0))
    assert stage_deployment(limited, "sort", sort("small", 2)["sort"])["spec"]["minReadySeconds"] == 3
    assert "minReadySeconds" not in stage_deployment(plain, "sort", sort("small", 2)["sort"])["spec"]


def test_a_rollout_s_next_step_waits_for_what_drains_however_long_that_takes(tmp_path: Path) -> None:
    """By then, two of the old variant have been told to end, or one: the other is still to be replaced."""
    server = Rolling(tiny(tmp_path, most_cores=4, stop_s=1.0))
    server.stand(sort("small", 2)["sort"])
    first, second = copy.deepcopy(server.pods)
    before = copy.deepcopy(server.stage)

    def least_ready_s(*remaining: Any, draining: Sequence[Any]) -> int:
        ended = [{**pod, "metadata": pod["metadata"] | {"deletionTimestamp": server.timestamp()}} for pod in draining]
        state = read_stage(before, pods.ours([*remaining, *ended]))
        wanted = sort("large", 2)["sort"]
        actions = difference(server.deployed, "sort", wanted, state, None, allowed=Allowed(2))
        (apply,) = [action for action in actions if isinstance(action, Apply)]
        return int(apply.manifest["spec"]["minReadySeconds"])

    half_of_deadline_s = before["spec"]["progressDeadlineSeconds"] // 2
    assert least_ready_s(first, second, draining=[]) == 3
    assert least_ready_s(second, draining=[first]) == half_of_deadline_s > 100
    assert least_ready_s(draining=[first, second]) == 3, "nothing is left to replace"


def test_a_controller_keeps_the_limit_and_says_how_often_and_how_long_room_was_lacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: Any, cluster: Cluster) -> None:
        stage = backend.stages["sort"]
        assert await apply(backend, sort("small", 3)) == Applied(True)
        await until(lambda: len(stage.ready) == 2, "two have room")
        await until(lambda: stage.room_lack(backend.now_s).lasted_s > 0.2, "there is none for a third")
        assert stage.room_lack(backend.now_s).times == 1
        assert await apply(backend, sort("large")) == Applied(True)
        await until(lambda: backend.look.is_complete(sort("large")), "a large one of two cores takes their place")
        assert cores(cluster.pods) == 2

    story(tmp_path, monkeypatch, told, deployed=tiny(tmp_path, most_cores=2))
