"""The watch that survives disconnects, expired versions and restarts; the Lease; the gateway's list. No cluster."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from urllib3 import HTTPHeaderDict

from ipa.live.errors import RunError
from ipa.live.gateway_client import ANSWERS_WITHIN_S
from ipa.live.kubernetes.api import ApiError, _events
from ipa.live.kubernetes.cluster_gateway import ClusterGateway, ProxiedWay
from ipa.live.kubernetes.lease import DURATION_S, RETRY_S, Lease
from ipa.live.kubernetes.pace import ChangeLimit
from ipa.live.kubernetes.pods import Pod, read
from ipa.live.kubernetes.readiness import client_url, until_reached
from ipa.live.kubernetes.replica_lister import ReplicaLister
from ipa.live.kubernetes.timeline import Timeline
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.plane import free_port
from ipa.live.tokens import TokenFile
from tests.live.kubernetes.world import BEGAN_S, pod, secret, tiny
from tests.live.world import PATIENCE_S


def given(name: str, version: str) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": name,
            "name": name,
            "resourceVersion": version,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"ipa/stage": "sort"},
        }
    }


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    return {"type": kind, "object": given(name, version)}


class Server:
    """Answers lists and watches by a script: a list of pods, or of events, or an error; then stops the watch."""

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.now_s = BEGAN_S
        self.asked: list[str] = []
        self.watch: PodWatch | None = None

    def list(self, kind: str, namespace: str, selector: str) -> Any:
        self.asked.append("list")
        names = self._next()
        return {"items": [given(name, "1") for name in names], "metadata": {"resourceVersion": "10"}}

    def watch_events(self, version: str) -> Iterator[dict[str, Any]]:
        self.asked.append(f"watch {version}")
        return self._events(self._next())

    @staticmethod
    def _events(answer: Sequence[Any]) -> Iterator[dict[str, Any]]:
        for each in answer:
            if isinstance(each, ApiError):
                raise each
            yield each

    def _next(self) -> Any:
        if not self.script:
            assert self.watch is not None
            self.watch.stop()
            return []
        answer = self.script.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


class Api:
    def __init__(self, server: Server) -> None:
        self.list = server.list
        self.watch = lambda kind, namespace, selector, version: server.watch_events(version)
        self.time_s = lambda: server.now_s


def told(script: list[Any]) -> tuple[list[set[str]], list[str]]:
    """What was told after each answer of the script, and what was asked of the server."""
    seen: list[set[str]] = []
    server = Server(script)
    watch = PodWatch(
        Api(server),  # type: ignore[arg-type]
        "default",
        "ipa-tiny",
        lambda pods, is_fresh: seen.append(set(pods)),
        random_factor=lambda: 0.0,
    )
    server.watch = watch
    watch.run()
    return seen, server.asked


def test_events_are_told_as_they_come_and_the_next_watch_goes_on_after_the_last() -> None:
    seen, asked = told([["a"], [event("ADDED", "b", "11"), event("DELETED", "a", "12")], []])
    assert seen[:3] == [{"a"}, {"a", "b"}, {"b"}]
    assert asked[:3] == ["list", "watch 10", "watch 12"]


def test_the_last_word_on_a_pod_says_when_its_containers_had_ended() -> None:
    ended = event("DELETED", "a", "11")
    terminated = {"terminated": {"finishedAt": "2026-01-01T00:00:30Z"}}
    ended["object"]["status"] = {"containerStatuses": [{"state": terminated}]}
    seen, _ = told([["a"], [ended], []])
    assert seen[:3] == [{"a"}, {"a"}, set()]  # it is told once more, and then gone


def test_how_a_container_ended_stays_known_when_the_kubelet_has_cleared_it_away() -> None:
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    states = [
        {"state": killed, "restartCount": 0},
        {"state": {"running": {}}, "lastState": {}, "restartCount": 1},
        {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}, "restartCount": 1},
    ]
    events = [event("MODIFIED", "a", str(11 + at)) for at in range(3)]
    for each, state in zip(events, states, strict=True):
        each["object"]["status"] = {"containerStatuses": [state]}
    crashes: list[str] = []
    server = Server([["a"], events, ["a"], []])
    watch = PodWatch(
        Api(server),  # type: ignore[arg-type]
        "default", "ipa-tiny", lambda pods, _: crashes.append(pods["a"].crash), random_factor=lambda: 0.0,
    )  # fmt: skip
    server.watch = watch
    watch.run()
    assert crashes[:4] == ["", *["OOMKilled, exit code 137"] * 3]


def test_when_a_container_first_ran_and_since_when_none_starts_stays_known_too() -> None:
    def waiting(why: str) -> dict[str, Any]:
        return {"state": {"waiting": {"reason": why}}}

    def ran(second: int) -> dict[str, Any]:
        return {"state": {"running": {"startedAt": f"2026-01-01T00:00:{second:02}Z"}}}

    states = [waiting("ContainerCreating"), waiting("ErrImagePull"), waiting("ImagePullBackOff"), ran(40), ran(50)]
    of_another = {**ran(1), "name": "mesh", "ready": True}  # an image that is not ours
    events = [event("MODIFIED", "a", str(11 + at)) for at in range(len(states))]
    for each, state in zip(events, states, strict=True):
        each["object"]["status"] = {"containerStatuses": [of_another, {"name": "model-server", **state}]}
    known: list[tuple[float | None, float | None]] = []
    server = Server([["a"], events, []])

    def note(pods: Mapping[str, Pod], _: bool) -> None:
        known.append((pods["a"].failing_s, pods["a"].started_s))
        server.now_s += 10.0

    watch = PodWatch(Api(server), "default", "ipa-tiny", note, random_factor=lambda: 0.0)  # type: ignore[arg-type]
    server.watch = watch
    watch.run()
    fails_s, first_s = BEGAN_S + 20.0, BEGAN_S + 40.0
    assert known[1:6] == [(None, None), (fails_s, None), (fails_s, None), (None, first_s), (None, first_s)]


def test_what_a_container_said_is_known_while_the_next_one_has_not_become_ready() -> None:
    ended = {"exitCode": 2, "reason": "Error", "message": "no such folder\n"}
    again = {"state": {"running": {}}, "lastState": {"terminated": ended}, "restartCount": 1, "ready": False}
    pod = given("a", "1") | {"status": {"containerStatuses": [again]}}
    assert read(pod).message == "no such folder"
    again["ready"] = True
    assert read(pod).message == ""


def test_a_container_that_is_told_to_end_has_not_crashed() -> None:
    killed = {"state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
    pod = given("a", "1") | {"status": {"containerStatuses": [killed]}}
    assert read(pod).crash == "Error, exit code 137"
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    assert read(pod).crash == ""


def test_a_bookmark_moves_the_version_and_changes_nothing() -> None:
    seen, asked = told([["a"], [event("BOOKMARK", "", "15")], []])
    assert (seen[:2], asked[2]) == ([{"a"}, {"a"}], "watch 15")


def test_a_lost_connection_goes_on_where_it_was() -> None:
    lost = ApiError("watch pods", 0, "connection reset")
    _, asked = told([["a"], lost, lost, [event("ADDED", "b", "11")], []])
    assert asked[:5] == ["list", "watch 10", "watch 10", "watch 10", "watch 11"]


def test_a_connection_that_breaks_in_the_middle_goes_on_after_the_last_event() -> None:
    lost = ApiError("watch pods", 0, "connection reset")
    seen, asked = told([["a"], [event("ADDED", "b", "11"), lost], [event("DELETED", "a", "12")], []])
    assert asked[:4] == ["list", "watch 10", "watch 11", "watch 12"]
    assert seen[:3] == [{"a"}, {"a", "b"}, {"b"}]  # nothing is told twice


def test_what_a_watch_tells_after_it_had_broken_off_may_be_older() -> None:
    fresh: list[bool] = []
    lost = ApiError("watch pods", 0, "connection reset")
    server = Server([["a"], [event("ADDED", "b", "11"), lost], [event("ADDED", "c", "12")], []])
    watch = PodWatch(
        Api(server),  # type: ignore[arg-type]
        "default",
        "ipa-tiny",
        lambda pods, is_fresh: fresh.append(is_fresh),
        random_factor=lambda: 0.0,
    )
    server.watch = watch
    watch.run()
    assert fresh == [False, True, False]  # the list, b as it happens, c some time after


def test_pauses_grow_while_the_server_is_away_and_begin_anew_after_a_watch() -> None:
    gone = ApiError("watch pods", 0, "connection refused")
    server = Server([["a"], *[gone] * 7, [event("ADDED", "b", "11")], gone])
    pauses: list[float] = []
    watch = PodWatch(
        Api(server),  # type: ignore[arg-type]
        "default",
        "ipa-tiny",
        lambda pods, is_fresh: None,
        random_factor=lambda: pauses.append(watch._pause_s) or 0.0,  # type: ignore[func-returns-value]
    )
    server.watch = watch
    watch.run()
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.2]


@pytest.mark.parametrize(("lasts_s", "expected"), [(0.0, [0.2, 0.4, 0.8]), (20.0, [])])
def test_a_watch_that_is_ended_at_once_is_begun_again_after_a_pause(lasts_s: float, expected: list[float]) -> None:
    """As by a proxy; one that brings nothing for as long as it may last is followed by the next."""
    server, now_s = Server([["a"], [], [], []]), [0.0]
    pauses: list[float] = []
    watch = PodWatch(
        Api(server),  # type: ignore[arg-type]
        "default",
        "ipa-tiny",
        lambda pods, is_fresh: None,
        random_factor=lambda: pauses.append(watch._pause_s) or 0.0,  # type: ignore[func-returns-value]
        clock=lambda: now_s.__setitem__(0, now_s[0] + lasts_s) or now_s[0],
    )
    server.watch = watch
    watch.run()
    assert pauses == expected
    assert server.asked == ["list", *["watch 10"] * 4]


def test_a_pod_that_carries_our_labels_and_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    foreign = event("ADDED", "b", "11")
    foreign["object"]["metadata"]["labels"]["ipa/cores"] = "x"
    seen, asked = told([["a"], [foreign, event("ADDED", "c", "12"), {**foreign, "type": "DELETED"}], []])
    assert seen[:4] == [{"a"}, {"a"}, {"a", "c"}, {"a", "c"}]
    assert asked[:2] == ["list", "watch 10"]
    assert [vars(record)["pod"] for record in caplog.records if hasattr(record, "pod")] == ["b", "b"]


def test_a_mistake_of_whoever_is_told_does_not_end_the_watch() -> None:
    seen: list[set[str]] = []
    server = Server([["a"], [event("ADDED", "b", "11")], ["a", "b"], []])

    def note(pods: Mapping[str, Any], is_fresh: bool) -> None:
        seen.append(set(pods))
        if len(seen) == 2:
            raise KeyError("b")

    watch = PodWatch(Api(server), "default", "ipa-tiny", note, random_factor=lambda: 0.0)  # type: ignore[arg-type]
    server.watch = watch
    watch.run()
    assert seen[:3] == [{"a"}, {"a", "b"}, {"a", "b"}]
    assert server.asked[:3] == ["list", "watch 10", "list"]


@pytest.mark.parametrize("status", [410, 500, 503])
def test_after_an_expired_version_or_an_error_of_the_server_everything_is_listed_anew(status: int) -> None:
    seen, asked = told([["a"], ApiError("watch pods", status, "too old"), ["b"], []])
    assert asked[:4] == ["list", "watch 10", "list", "watch 10"]
    assert seen[:2] == [{"a"}, {"b"}]


def test_while_the_server_is_away_what_is_known_stays() -> None:
    gone = ApiError("GET pods", 503, "away")
    seen, _ = told([["a"], ApiError("watch", 410, ""), gone, gone, ["a"], []])
    assert seen[:2] == [{"a"}, {"a"}]


@pytest.mark.parametrize(("ours_s", "theirs_s"), [(0.0, 0.0), (1.5, 1.5), (3600.0, 0.0), (-3600.0, 0.0)])
def test_where_this_machine_s_clock_is_wrong_the_server_s_counts(
    monkeypatch: pytest.MonkeyPatch, ours_s: float, theirs_s: float
) -> None:
    """The server tells whole seconds, so that less than two is no difference."""
    pytest.importorskip("kubernetes")
    from ipa.live.kubernetes import api as module

    monkeypatch.setattr(time, "time", lambda: 1767225600.0 + ours_s)
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    api = module.Api(SimpleNamespace(configuration=None))
    assert api.time_s() == 1767225600.0 + ours_s  # nothing is known of the server
    monkeypatch.setattr(api._client, "request", lambda *_, **__: Answer(b"{}"))
    api.request("GET", "/version")
    assert api.time_s() == 1767225600.0 + theirs_s


def test_what_a_server_warns_of_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kubernetes")
    from ipa.live.kubernetes.api import Api

    told: list[str] = []
    api = Api(SimpleNamespace(configuration=None), on_warning=told.append)
    answer, headers = Answer(b"{}"), HTTPHeaderDict(Answer.headers)
    headers.add("Warning", '299 - "policy/v1beta1 is deprecated, use policy/v1"')
    headers.add("Warning", '299 api "would violate PodSecurity \\"restricted:latest\\""')
    monkeypatch.setattr(answer, "headers", headers, raising=False)
    monkeypatch.setattr(api._client, "request", lambda *_, **__: answer)
    for path in ("/version", "/api", "/api/v1/namespaces/default/services/http:a:control/proxy/x"):
        api.request("GET", path)
    assert told == [
        "policy/v1beta1 is deprecated, use policy/v1",
        'would violate PodSecurity "restricted:latest"',
    ]


class Answer:
    """One of a server whose clock is at 2026."""

    headers: ClassVar = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}

    def __init__(self, data: bytes) -> None:
        self.data = data


def test_an_answer_that_is_no_json_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    api = api_that_answers(b"<html>login</html>", monkeypatch)
    with pytest.raises(ApiError, match="GET /version: JSONDecodeError") as refused:
        api.request("GET", "/version")
    assert refused.value.is_transient


def test_a_clock_behind_the_proxy_is_not_the_server_s(monkeypatch: pytest.MonkeyPatch) -> None:
    api = api_that_answers(b"{}", monkeypatch)
    api.request("GET", "/api/v1/namespaces/default/services/http:ipa-tiny-control:control/proxy/control/records")
    assert api._servers is None
    api.request("GET", "/api/v1/namespaces/proxy/pods")
    assert api._servers is not None


def api_that_answers(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("kubernetes")
    from ipa.live.kubernetes.api import Api

    api = Api(SimpleNamespace(configuration=None))
    monkeypatch.setattr(api._client, "request", lambda *_, **__: Answer(data))
    return api


def test_a_call_of_the_gateway_through_the_proxy_waits_as_long_as_it_is_to(tmp_path: Path) -> None:
    waited_s: list[float] = []
    answer = {"epoch": "first", "time_s": 0.0, "load_rps": [], "latencies_s": [], "configuration": {}, "stages": {}}
    api = SimpleNamespace(
        get=lambda *_: secret("a-token-of-a-gateway"),
        request=lambda *_, within_s, headers: waited_s.append(within_s) or answer,  # type: ignore[func-returns-value]
    )
    way = ProxiedWay(api, tiny(tmp_path))  # type: ignore[arg-type]
    gateway = ClusterGateway(way, tiny(tmp_path), Timeline({}), lambda: 0.0)
    assert asyncio.run(gateway.is_ready())
    asyncio.run(gateway.observation(0.0, 0))
    assert waited_s == [1.0, ANSWERS_WITHIN_S]


def test_lines_are_put_together_however_the_network_cuts_them() -> None:
    class Response:
        def stream(self, amt: None, decode_content: bool) -> Iterator[bytes]:
            yield from (b'{"type"', b':"A"}\n{"type"', b':"B"}\n\n{', b'"type":"C"}\n')

        def close(self) -> None: ...

    assert list(_events(Response(), "watch pods")) == [{"type": "A"}, {"type": "B"}, {"type": "C"}]


# ---- the list for the gateway ----


def test_the_gateway_is_told_nothing_before_the_first_list_and_the_latest_then(tmp_path: Path) -> None:
    told: list[Mapping[str, Any]] = []
    lister = ReplicaLister("http://gateway", tiny(tmp_path).plane.pipeline, TokenFile(tmp_path / "token"))
    lister.changed({"a": pod(1)}, True)
    lister.changed({"a": pod(1), "b": pod(2)}, True)

    def stop_after(listed: Mapping[str, Any]) -> bool:
        told.append(listed)
        lister.stop()
        return True

    lister._tell = stop_after  # type: ignore[method-assign]
    lister.run()
    assert [len(each["sort"]) for each in told] == [2]


def test_a_signal_stops_it_at_whatever_moment_it_comes(tmp_path: Path) -> None:
    """At every line of the queue that it waits for, whatever locks are held there."""
    lister = ReplicaLister("http://gateway", tiny(tmp_path).plane.pipeline, TokenFile(tmp_path / "token"))

    def signalled(frame: FrameType, _: str, __: Any) -> Any:
        if frame.f_code.co_filename == queue.__file__:
            lister.stop()
        return signalled

    def run() -> None:
        sys.settrace(signalled)
        lister.run()

    def tell_once(_: object) -> bool:
        lister.stop()
        return True

    lister._tell = tell_once  # type: ignore[method-assign,assignment]
    lister.changed({"a": pod(1)}, True)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_list_that_does_not_reach_the_gateway_is_sent_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that is just starting may not listen yet: its clients should not wait for the next regular list."""
    lister = ReplicaLister("http://gateway", tiny(tmp_path).plane.pipeline, TokenFile(tmp_path / "token"))
    pauses_s: list[float] = []
    outcomes = iter([True, *[False] * 6, True, False])

    def get(timeout: float) -> Mapping[str, Any]:
        pauses_s.append(timeout)
        if len(pauses_s) == 10:
            lister.stop()
        return {"a": pod(1)}

    monkeypatch.setattr(lister, "_changes", SimpleNamespace(get=get, empty=lambda: True, put=lambda _: None))
    monkeypatch.setattr(lister, "_tell", lambda _: next(outcomes))
    lister.run()
    assert pauses_s == [2.0, 2.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 0.1]


def test_pods_that_the_pipeline_s_file_does_not_know_are_left_out_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a file that drops a variant its pods stay for a while; the gateway would refuse them, and all with them."""
    told: list[Mapping[str, Any]] = []
    lister = ReplicaLister("http://gateway", tiny(tmp_path).plane.pipeline, TokenFile(tmp_path / "token"))

    def note(listed: Mapping[str, Any]) -> bool:
        told.append(listed)
        lister.changed(pods, True)
        if len(told) == 2:
            lister.stop()
        return True

    lister._tell = note  # type: ignore[method-assign]
    pods = {"a": pod(1), "b": replace(pod(2), variant="dropped"), "c": pod(3, cores=64)}
    lister.changed(pods, True)
    lister.run()
    assert [[each["url"] for each in listed["sort"]] for listed in told] == [["http://10.0.0.1:8080"]] * 2
    assert [vars(record)["pod"] for record in caplog.records if record.msg == "a pod is left out"] == [
        "sort-2",
        "sort-3",
    ]


def test_at_most_so_many_changes_a_minute() -> None:
    clock = Clock()
    pace = ChangeLimit(3, clock)
    assert pace.refusal(3) == ""
    pace.note(2)
    clock.now_s += 30.0
    pace.note(1)
    assert pace.refusal(1) == "too fast: 3 changes within a minute; at most 3"
    assert pace.refusal(0) == ""  # what moves no pod always may
    clock.now_s += 31.0
    assert pace.refusal(2) == ""
    assert pace.refusal(3) == "too fast: 1 changes within a minute; at most 3"
    clock.now_s += 61.0
    assert pace.refusal(5) == ""  # or a decision that changes so much would never be carried out


# ---- where clients reach it ----


NODE_PORT = {"type": "NodePort", "ports": [{"port": 8080, "nodePort": 30080}]}


@pytest.mark.parametrize(
    ("ingress", "node", "url"),
    [
        ([{"ip": "10.0.0.1"}], "10.0.0.2", "http://10.0.0.1:8080"),
        ([{"ip": "fd00::1"}], "10.0.0.2", "http://[fd00::1]:8080"),
        ([{"hostname": "there.example"}], "10.0.0.2", "http://there.example:8080"),
        ([], "10.0.0.2", "http://10.0.0.2:30080"),
        ([], "fd00::2", "http://[fd00::2]:30080"),
    ],
)
def test_clients_outside_reach_the_load_balancer_or_a_node(
    tmp_path: Path, ingress: list[Any], node: str, url: str
) -> None:
    service = {"spec": NODE_PORT, "status": {"loadBalancer": {"ingress": ingress}}}
    nodes = [{"status": {"addresses": [{"type": "InternalIP", "address": node}]}}]
    api = SimpleNamespace(get=lambda *_: service, request=lambda *_: {"items": nodes})
    assert client_url(api, tiny(tmp_path)) == url  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("families", "url"),
    [
        (["IPv4"], "http://10.0.0.2:30080"),
        (["IPv6"], "http://[fd00::2]:30080"),
        (["IPv6", "IPv4"], "http://10.0.0.2:30080"),
        ([], "http://10.0.0.2:30080"),
    ],
)
def test_a_node_is_asked_at_an_address_of_the_service_s_families(tmp_path: Path, families: list[str], url: str) -> None:
    service = {"spec": {**NODE_PORT, "ipFamilies": families}}
    addresses = [{"type": "InternalIP", "address": address} for address in ("10.0.0.2", "fd00::2")]
    nodes = [{"status": {"addresses": [{"type": "Hostname", "address": "node-1"}, *addresses]}}]
    api = SimpleNamespace(get=lambda *_: service, request=lambda *_: {"items": nodes})
    assert client_url(api, tiny(tmp_path)) == url  # type: ignore[arg-type]


def test_a_load_waits_until_the_gateway_is_reached() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(RunError, match=f"cannot be reached at {url} .*refused"):
        asyncio.run(until_reached(url, within_s=0.0))

    async def story() -> None:
        waiting = asyncio.ensure_future(until_reached(url))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        server = await asyncio.start_server(ready, "127.0.0.1", port)
        await waiting
        server.close()
        await server.wait_closed()

    asyncio.run(story())


async def ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert (await reader.readline()).startswith(b"GET /v2/health/live ")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


# ---- one writer ----


class Leases:
    """The Lease as a server keeps it: a write of what is out of date is refused."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.is_away = False

    def time_s(self) -> float:
        return 1.0e9 + self.version

    def get(self, kind: str, namespace: str, name: str, within_s: float = 10.0) -> Any:
        if self.is_away:
            raise ApiError("GET lease", 0, "no route")
        if kind == "ConfigMap":
            return {"metadata": {"name": name, "uid": "root"}}
        return None if self.stored is None else {**self.stored, "spec": dict(self.stored["spec"])}

    def request(self, method: str, path: str, body: dict[str, Any], within_s: float = 10.0) -> Any:
        there = None if self.stored is None else self.stored["metadata"]["resourceVersion"]
        if (method == "POST") != (there is None) or (there and body["metadata"]["resourceVersion"] != there):
            raise ApiError(method, 409, "the object has been modified")
        self.version += 1
        self.stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.stored


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def leases(tmp_path: Path) -> tuple[Leases, Clock, Lease, Lease]:
    server, clock, deployed = Leases(), Clock(), tiny(tmp_path)
    one, two = (Lease(server, deployed, name, clock) for name in ("one", "two"))  # type: ignore[arg-type]
    return server, clock, one, two


def test_one_of_two_holds_it_and_renews_it(tmp_path: Path) -> None:
    _, clock, one, two = leases(tmp_path)
    assert one.acquire()
    for _ in range(20):
        clock.now_s += RETRY_S
        assert one.acquire()
        assert not two.acquire()
        assert (one.is_held, two.is_held, two.holder) == (True, False, "one")


def test_after_the_first_is_killed_the_second_takes_over_within_15_s(tmp_path: Path) -> None:
    server, clock, one, two = leases(tmp_path)
    one.acquire()
    two.acquire()
    waited_s = 0.0
    while not two.acquire():
        clock.now_s += RETRY_S
        waited_s += RETRY_S
    assert DURATION_S <= waited_s <= 12.0
    assert server.stored is not None
    assert server.stored["spec"]["leaseTransitions"] == 1
    assert [each["uid"] for each in server.stored["metadata"]["ownerReferences"]] == ["root"]  # it goes with all else


def test_the_first_stops_writing_before_the_second_may_start(tmp_path: Path) -> None:
    server, clock, one, two = leases(tmp_path)
    one.acquire()
    two.acquire()
    server.is_away = True  # for the first alone: it cannot renew
    while one.is_held:
        clock.now_s += 0.5
        one.acquire()
    stopped_s = clock.now_s
    server.is_away = False
    while not two.acquire():
        clock.now_s += 0.5
    assert stopped_s < clock.now_s
    assert not one.acquire()
    assert one.is_lost


def test_the_first_stops_before_the_second_may_start_although_the_second_was_answered_late(tmp_path: Path) -> None:
    server, clock, one, two = leases(tmp_path)
    one.acquire()
    at_once = server.get

    def late(*what: Any) -> Any:
        clock.now_s += 2.9
        server.get = at_once  # type: ignore[method-assign]
        one.acquire()
        return at_once(*what)

    server.get = late  # type: ignore[assignment,method-assign]
    assert not two.acquire()
    while one.is_held:
        clock.now_s += 0.1
        assert not two.acquire()


def test_of_two_that_write_at_once_one_wins(tmp_path: Path) -> None:
    server, _, one, two = leases(tmp_path)
    at_once = server.get

    def read_before_the_other_writes(*what: Any) -> Any:
        server.get = at_once  # type: ignore[method-assign]
        lease = at_once(*what)
        assert one.acquire()
        return lease

    server.get = read_before_the_other_writes  # type: ignore[assignment,method-assign]
    assert not two.acquire()
    assert (one.is_held, two.is_held) == (True, False)


def test_a_lease_that_was_given_back_is_taken_at_once(tmp_path: Path) -> None:
    _, _, one, two = leases(tmp_path)
    one.acquire()
    assert not two.acquire()
    one.release()
    assert two.acquire()
