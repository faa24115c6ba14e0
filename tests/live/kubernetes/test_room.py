"""When a core limit follows from pods that find no room: at once for a quota, after a wait where a node may come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ipa.live.kubernetes.deployments import present
from ipa.live.kubernetes.room import FoundRoom
from ipa.live.kubernetes.stage_state import Look, read_stage
from tests.live.kubernetes.world import BEGAN_S, made_of, on_server, pod, tiny
from tests.live.world import sort

THREE = sort("small", 3)["sort"]
FULL = "0/1 nodes are available: 1 Insufficient cpu."


def look(folder: Path, placed: int, homeless: int, quota: str = "") -> Look:
    """A look at so many small replicas of one core with a node, and without."""
    given = on_server(tiny(folder), THREE, updated=placed + homeless, available=placed)
    made = present(given, [made_of(given, refusal=quota)], BEGAN_S)
    waiting = [pod(9 + n, ready_s=None, scheduled_s=None, unschedulable=FULL) for n in range(homeless)]
    pods = [replace(each, replica_set=made.name) for each in (*(pod(n) for n in range(placed)), *waiting)]
    state = read_stage(given, pods, replica_set=made)
    found = state.obstacle
    return Look({"sort": state}, out_of_room={"sort": found.problem} if found.is_out_of_room else {})


def test_pods_without_a_node_wait_for_one_before_the_limit_falls(tmp_path: Path) -> None:
    room, full = FoundRoom(1, nodes_within_s=60.0), look(tmp_path, 1, 2)
    for now_s in (0.0, 59.0):
        room.note(full, now_s)
        assert room.within(8) == 8
        assert (
            room.trouble(full)
            == f"sort: 2 of 3 pods find no node with room: {FULL} (another node may come within 60 s)"
        )
    room.note(full, 60.0)
    assert room.within(8) == 1


def test_a_look_that_acts_or_breaks_off_does_not_begin_the_wait_anew(tmp_path: Path) -> None:
    room, full = FoundRoom(1, nodes_within_s=60.0), look(tmp_path, 1, 2)
    room.note(full, 0.0)
    room.note(Look(error="away"), 20.0)
    room.note(replace(full, done=("another stage",), out_of_room={}), 40.0)
    room.note(full, 60.0)
    assert room.within(None) == 1


def test_a_node_that_comes_for_some_lets_the_others_wait_anew(tmp_path: Path) -> None:
    room = FoundRoom(1, nodes_within_s=60.0)
    room.note(look(tmp_path, 1, 2), 0.0)
    room.note(look(tmp_path, 2, 1), 50.0)
    room.note(look(tmp_path, 2, 1), 109.0)
    assert room.within(None) is None
    room.note(look(tmp_path, 3, 0), 110.0)
    assert room.trouble(look(tmp_path, 3, 0)) == ""
    room.note(look(tmp_path, 2, 1), 200.0)
    assert room.within(None) is None


def test_a_quota_does_not_grow_by_waiting(tmp_path: Path) -> None:
    room = FoundRoom(1, nodes_within_s=60.0)
    room.note(look(tmp_path, 2, 0, quota="exceeded quota: few"), 0.0)
    assert room.within(None) == 2
