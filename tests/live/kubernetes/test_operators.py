"""What operators find on the cluster: Events, and what a policy has learnt, which outlives its controller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.controller_manifests import controller
from ipa.live.kubernetes.events import REPEATED_AFTER_S, Event, Events, news
from ipa.live.kubernetes.memory import MOST_BYTES, ControllerMemory, memory_map
from ipa.live.kubernetes.stage_state import Look, read_stage
from ipa.live.kubernetes.timeline import EXCLUDED_FOR_S
from ipa.policies import Applied, Decision, Entry, Journal
from ipa.studies import find
from ipa.studies.runs.live_runs import on_cluster
from ipa.studies.runs.live_runs.options import Live, LiveCluster
from ipa.studies.runs.run import prepare
from tests.live.kubernetes.world import BEGAN_S, on_server, tiny
from tests.live.world import sort
from tests.tiny import observation

SMALL = sort("small")["sort"]


class Given:
    """An API that keeps what is written; `refusal`: what it answers instead."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.paths: list[str] = []
        self.data: dict[str, str] = {}
        self.version = 1
        self.refusal: ApiError | None = None

    def time_s(self) -> float:
        return BEGAN_S

    def get(self, kind: str, namespace: str, name: str, within_s: float = 0.0) -> Mapping[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        return {"metadata": {"resourceVersion": str(self.version)}, "data": self.data}

    patch = Api.patch

    def request(self, method: str, path: str, body: Any, **_: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        if body.get("metadata", {}).get("resourceVersion", str(self.version)) != str(self.version):
            raise ApiError(method, 409, "the object has been modified")
        self.version += 1
        self.paths.append(f"{method} {path}")
        self.written.append(body)
        self.data |= body.get("data", {})


# ---- Events ----


def look(folder: Path, **found: Any) -> Look:
    return Look({"sort": read_stage(on_server(tiny(folder), SMALL), ())}, **found)


def test_what_a_look_did_and_found_is_news_once(tmp_path: Path) -> None:
    done = ("sort: 1 -> 2 replicas", "sort: spec.template", "ipa-tiny-gateway: spec.template")
    before, now = look(tmp_path), look(tmp_path, done=done, foreign={"sort": "web had set 5"}, lost={"sort": "node a"})
    assert list(news(before, now)) == [
        Event("sort", "Changed", done[0], is_warning=False),
        Event("sort", "Changed", done[1], is_warning=False),
        Event("sort", "NodeLost", "node a"),
        Event("sort", "ForeignScaler", "web had set 5"),
    ]
    assert list(news(now, replace(now, done=()))) == []


def test_an_event_stands_on_the_stage_s_deployment_and_the_same_one_not_twice_in_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api, now_s = Given(), [0.0]
    events = Events(api, tiny(tmp_path), lambda: now_s[0])  # type: ignore[arg-type]
    full, changed = Event("sort", "NoRoom", "exceeded quota"), Event("sort", "Changed", "x" * 2000, is_warning=False)
    for event in (full, full, changed):
        events.tell(event, look(tmp_path))
    now_s[0] = REPEATED_AFTER_S
    events.tell(full, look(tmp_path))
    assert [(each["type"], each["reason"]) for each in api.written] == [
        ("Warning", "NoRoom"), ("Normal", "Changed"), ("Warning", "NoRoom"),
    ]  # fmt: skip
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "ipa-tiny-stage-sort"}
    assert api.written[0]["involvedObject"] == {**about, "uid": "u"}
    assert len(api.written[1]["message"]) < 1024
    api.refusal = ApiError("POST", 403, "forbidden")
    for number in range(3):  # a controller that may not write them works as well
        events.tell(Event("sort", "NoRoom", str(number)), look(tmp_path))
    assert [record.getMessage() for record in caplog.records] == ["an Event is not written"]


def test_a_variant_that_fails_again_is_told_again_and_one_that_flickers_is_not(tmp_path: Path) -> None:
    api, now_s = Given(), [0.0]
    events = Events(api, tiny(tmp_path), lambda: now_s[0])  # type: ignore[arg-type]
    fails, fine = look(tmp_path, failed={"sort": "variant large: CrashLoopBackOff"}), look(tmp_path)
    # It is left out in between, and tried again. Each time one look in two breaks off.
    for began_s in (0.0, EXCLUDED_FOR_S):
        for at_s in range(3):
            now_s[0] = began_s + at_s
            for event in news(fine, fails):
                events.tell(event, fails)
    assert [each["reason"] for each in api.written] == ["VariantFailed", "VariantFailed"]


# ---- what a policy has learnt ----


def entry(step: int, **memory: Any) -> Entry:
    seen = replace(observation(), step=step)
    return Entry(seen, Decision(seen.configuration, memory), Applied(True, ""))


def test_what_a_policy_has_learnt_comes_back_to_a_controller_without_a_journal(tmp_path: Path) -> None:
    api = Given()
    memory = ControllerMemory(api, tiny(tmp_path), {"policy": "rate"})  # type: ignore[arg-type]
    memory.keep(entry(7, learnt=3))
    memory.close()
    assert set(api.paths) == {"PATCH /api/v1/namespaces/default/configmaps/ipa-tiny-memory"}
    assert memory_map(tiny(tmp_path))["metadata"]["name"] == "ipa-tiny-memory"

    def resumed(scenario: Any, journal: Journal | None = None) -> list[int]:
        journal = journal or Journal(1)
        ControllerMemory(api, tiny(tmp_path), scenario).resume(journal)  # type: ignore[arg-type]
        return [each.observation.step for each in journal.entries]

    assert resumed({"policy": "rate"}) == [7]
    assert resumed({"policy": "ipa"}) == []  # it would make nothing of it
    own = Journal()
    own.decided(entry(6))
    assert resumed({"policy": "rate"}, own) == [6, 7]  # another has controlled since
    own.decided(entry(9))
    assert resumed({"policy": "rate"}, own) == [6, 7, 9]
    api.data["entry"] = "{"
    assert resumed({"policy": "rate"}) == []
    api.refusal = ApiError("GET", 503, "away")
    assert resumed({"policy": "rate"}) == []


def test_a_backend_is_told_how_to_wait_for_what_is_remembered_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so before it gives the Lease back: another may write from then on."""
    api, held, scenario = Given(), on_cluster.LeaseHolder(), find("video")
    monkeypatch.setattr(on_cluster, "connect", lambda _: api)
    held.lease = SimpleNamespace(is_held=True)  # type: ignore[assignment]
    cluster = Live(cluster=LiveCluster(namespace="default"))
    with on_cluster.remembered(prepare(scenario), cluster, held, read_only=False) as (_, keep):
        keep(entry(7))
        held.finish()
        held.lease = None
        assert [set(each["data"]) for each in api.written] == [{"entry", "of"}]


def test_a_controller_that_does_not_hold_the_lease_has_nothing_remembered(tmp_path: Path) -> None:
    api = Given()
    memory = ControllerMemory(api, tiny(tmp_path), {}, lambda: False)  # type: ignore[arg-type]
    memory.keep(entry(7))
    memory.close()
    assert api.paths == []


def test_a_write_begun_before_another_took_over_undoes_nothing_when_it_comes_late(tmp_path: Path) -> None:
    api: Any = Given()
    first, second = (ControllerMemory(api, tiny(tmp_path), {}) for _ in range(2))
    at_once = api.patch

    def late(*given: Any) -> Any:
        api.patch = at_once
        second.keep(entry(8))
        second.close()
        return at_once(*given)

    api.patch = late
    first.keep(entry(7))
    first.close()
    journal = Journal(1)
    ControllerMemory(api, tiny(tmp_path), {}).resume(journal)
    assert [each.observation.step for each in journal.entries] == [8]


@pytest.mark.parametrize(
    ("refusal", "filler", "why"),
    [
        (ApiError("PATCH", 404, "not found"), 1, "PATCH: HTTP 404: not found"),
        (None, MOST_BYTES, "more than 512 KiB: see controller.state_claim"),
    ],
    ids=["deployed by an earlier version", "too large"],
)
def test_what_cannot_be_kept_is_said_once_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, refusal: ApiError | None, filler: int, why: str
) -> None:
    api = Given()
    api.refusal = refusal
    memory = ControllerMemory(api, tiny(tmp_path), {})  # type: ignore[arg-type]
    memory.keep(entry(1, filler="x" * filler))
    memory.close()
    (record,) = caplog.records
    assert vars(record)["problem"].endswith(why)
    assert api.written == []


# ---- evictions ----


def test_an_only_controller_may_be_evicted_and_of_several_one_at_a_time(tmp_path: Path) -> None:
    (budget,) = [each for each in controller(tiny(tmp_path), {}) if each["kind"] == "PodDisruptionBudget"]
    (deployment,) = [each for each in controller(tiny(tmp_path), {}) if each["kind"] == "Deployment"]
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
