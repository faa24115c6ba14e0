"""Replicas that another sets: set back at first, left to it where it goes on, and never in silence. No cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.difference import foreign_owner
from ipa.live.kubernetes.foreign_scalers import Dispute, judged
from ipa.live.kubernetes.manifests import owner_of, stage_deployment
from ipa.live.kubernetes.reconcile import Reconciler
from tests.live.kubernetes.fake import Server, owned
from tests.live.kubernetes.world import noted, sound, tiny, two_stages
from tests.live.world import sort

SMALL = sort("small", 2)["sort"]
WANTED = {"sort": SMALL}
"""Two replicas."""

# ---- the rule ----


def after(*changes: tuple[float, int], dispute: Dispute | None = None) -> Dispute:
    """The dispute after others have set so many replicas (time, replicas), each of which could be set back."""
    dispute = dispute or Dispute()
    for at_s, seen in changes:
        dispute = judged(dispute, seen, False, "'kubectl'", "", at_s)
    return dispute


def test_three_changes_are_set_back_and_the_fourth_within_five_minutes_is_left() -> None:
    assert [after(*[(15.0 * n, 3) for n in range(times)]).stands_aside for times in (1, 2, 3, 4)] == [
        False,
        False,
        False,
        True,
    ]
    assert not after((0.0, 3), (15.0, 3), (30.0, 3), (301.0, 3)).stands_aside  # the first is forgotten


def test_it_is_said_who_has_acted_for_five_minutes() -> None:
    once = after((0.0, 5))
    assert once.said(2) == "'kubectl' had set 5 replicas, which were set back"
    assert judged(once, 2, True, "", "", 299.0).said(2) == once.said(2)
    assert judged(once, 2, True, "", "", 300.0).said(2) == ""


def test_what_is_left_to_another_is_set_back_after_five_quiet_minutes_and_then_only_once() -> None:
    aside = after((0.0, 3), (15.0, 3), (30.0, 3), (45.0, 3))
    assert after((344.0, 3), dispute=aside).stands_aside
    assert after((200.0, 4), (499.0, 4), dispute=aside).stands_aside  # it has not been quiet
    back = after((345.0, 3), dispute=aside)
    assert not back.stands_aside
    assert after((360.0, 3), dispute=back).stands_aside
    assert not after((646.0, 3), dispute=back).stands_aside


def test_an_autoscaler_that_is_gone_is_not_waited_for() -> None:
    aside = Dispute((0.0, 15.0, 30.0), "HorizontalPodAutoscaler web", "web", 3, aside_s=45.0)
    assert "now 3 (wanted: 1)" in aside.said(1)
    assert "at once when HorizontalPodAutoscaler web is deleted" in aside.said(1)
    assert judged(aside, 3, False, "", "", 50.0).stands_aside
    assert not judged(aside, 3, False, "", "", 50.0, has_gone=True).stands_aside


# ---- looks ----


class World:
    """The tiny pipeline's one stage, whose replicas others set; `now_s` is the clock of the looks."""

    def __init__(self, folder: Path) -> None:
        deployed = tiny(folder)
        self.server = Server(deployed, owned(deployed, SMALL))
        self.now_s = 0.0
        self.reconciler = Reconciler(self.server, deployed, clock=lambda: self.now_s)  # type: ignore[arg-type]

    def others_set(self, replicas: int, manager: str = "") -> None:
        """Without a manager the server keeps no record, as before 1.22."""
        (stage,) = self.server.stages
        stage["spec"]["replicas"] = replicas
        fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
        stage["metadata"]["managedFields"] = [{"manager": manager or names.FIELD_MANAGER, "fieldsV1": fields}]

    def look(self, at_s: float) -> Any:
        self.now_s = at_s
        self.server.written.clear()
        look = self.reconciler.reconcile(WANTED, [])
        if ("ipa-tiny-stage-sort", 2, "7") in self.server.written:
            self.others_set(2)  # the server does what it is told
        return look


def autoscaler(name: str = "web", **meta: Any) -> dict[str, Any]:
    target = {"kind": "Deployment", "name": "ipa-tiny-stage-sort"}
    return {"metadata": {"name": name, **meta}, "spec": {"scaleTargetRef": target}}


def test_replicas_that_another_has_set_are_set_back_at_once_and_it_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.others_set(5, "kubectl")
    look = world.look(0.0)
    assert world.server.written == [("ipa-tiny-stage-sort", 2, "7")]
    assert (look.stopped, look.foreign) == ({}, {"sort": "'kubectl' had set 5 replicas, which were set back"})
    assert world.look(1.0).is_complete(WANTED)
    assert world.look(301.0).foreign == {}


def test_an_autoscaler_is_named_where_the_server_keeps_no_record(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.autoscalers = [autoscaler()]
    world.others_set(5)
    assert "HorizontalPodAutoscaler web had set 5" in world.look(0.0).foreign["sort"]
    world.server.autoscalers = [autoscaler(ownerReferences=[{"kind": "ScaledObject", "name": "queue"}])]
    world.others_set(5, "kube-controller-manager")
    assert "ScaledObject queue had set 5" in world.look(1.0).foreign["sort"]
    world.server.forbidden = {"HorizontalPodAutoscaler"}
    world.others_set(5)
    assert "somebody had set 5" in world.look(2.0).foreign["sort"]


def test_one_who_goes_on_is_left_alone_until_the_autoscaler_is_deleted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.autoscalers = [autoscaler()]
    for at_s in (0.0, 15.0, 30.0):
        world.others_set(3)
        assert world.look(at_s).stopped == {}
    world.others_set(3)
    look = world.look(45.0)
    assert world.server.written == []
    assert "HorizontalPodAutoscaler web keeps setting its replicas, now 3 (wanted: 2)" in look.stopped["sort"]
    assert look.refusal(WANTED, {"sort": replace(SMALL, replicas=4)})
    assert look.refusal(WANTED, WANTED) == ""
    world.server.autoscalers, world.server.forbidden = [], {"HorizontalPodAutoscaler"}
    assert world.look(46.0).stopped  # what cannot be asked is not gone
    world.server.forbidden = set()
    assert world.look(47.0).stopped == {}
    assert world.server.written == [("ipa-tiny-stage-sort", 2, "7")]
    assert world.look(48.0).is_complete(WANTED)


def test_what_could_not_be_set_back_is_not_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.others_set(3)
    for at_s in range(5):
        world.server.failing = [ApiError("PATCH", 503, "not now")]
        assert world.look(float(at_s)).stopped == {}
    world.look(6.0)
    assert world.server.written == [("ipa-tiny-stage-sort", 2, "7")]


def test_replicas_that_another_sets_between_an_apply_and_the_scale_after_it_are_seen(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.stages[0]["metadata"]["labels"] = {}
    four = {"sort": replace(SMALL, replicas=4)}

    def apply(manifest: dict[str, Any], _: str | None) -> Any:
        return {**manifest, "spec": {**manifest["spec"], "replicas": 9}}

    world.server.apply = apply  # type: ignore[assignment,method-assign]
    world.reconciler.reconcile(four, [])
    assert world.server.written == []


def test_our_own_manager_is_no_foreigner() -> None:
    given = {"metadata": {"managedFields": [{"manager": "ipa-pipelines", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}}
    assert foreign_owner(given, ("spec", "replicas")) == ""


# ---- a stage that is stopped ----


def both(folder: Path) -> tuple[Server, Reconciler]:
    """Two stages that are as wanted."""
    deployed = two_stages(folder)
    server = Server(deployed, None)
    for stage in deployed.stages:
        given = noted(stage_deployment(deployed, stage, SMALL, owner_of(server.root or {})), sound(SMALL))
        given["metadata"]["annotations"][names.REPLICAS] = "2"
        given["metadata"] |= {"uid": stage, "resourceVersion": "7", "generation": 1}
        given["spec"]["replicas"] = 2
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 2)
        given["status"] = {"observedGeneration": 1, **counts}
        server.stages.append(given)
    return server, Reconciler(server, deployed)  # type: ignore[arg-type]


def test_a_stage_that_is_paused_stops_no_other(tmp_path: Path) -> None:
    server, reconciler = both(tmp_path)
    first, second = server.stages
    first["spec"]["paused"] = True
    second["spec"]["replicas"] = 1
    wanted = {"sort": SMALL, "rank": SMALL}
    look = reconciler.reconcile(wanted, [])
    assert [each[0] for each in server.written if isinstance(each, tuple)] == [second["metadata"]["name"]]
    assert look.stopped == {"sort": f"{first['metadata']['name']} is paused: kubectl rollout resume deployment/"
                            f"{first['metadata']['name']}"}  # fmt: skip
    other = replace(SMALL, replicas=4)
    assert look.refusal(wanted, {"sort": SMALL, "rank": other}) == ""
    assert look.refusal(wanted, {"sort": other, "rank": SMALL}).startswith("sort: ")


def test_a_stage_that_another_owns_stops_no_other(tmp_path: Path) -> None:
    server, reconciler = both(tmp_path)
    server.stages[0]["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    server.stages[1]["spec"]["replicas"] = 1
    server.failing = [ApiError("PATCH", 409, 'conflict with "kubectl-edit"', (".spec.template: conflict",))]
    look = reconciler.reconcile({"sort": SMALL, "rank": SMALL}, [])
    assert list(look.stopped) == ["sort"]
    assert "kubectl-edit" in look.stopped["sort"]
    assert [each[0] for each in server.written if isinstance(each, tuple)] == ["ipa-tiny-stage-rank"]
