"""A run from inside and the plans of the optimiser, as the server gives them and as the page shows them."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest

from ipa.profiles import Edge, Graph, Join
from ipa.studies import Scenario, explain, find, simulate
from ipa.studies.explore import Explorer
from ipa.studies.explore.inside import _came, inside
from ipa.studies.explore.plan import planned
from ipa.studies.scenario import ScenarioError
from tests.profiles.test_graph_file import TREE
from tests.studies.browser import NARROW, WIDE, Browser, needs_chromium
from tests.studies.explore.conftest import ALL, send, visit

SHORT = {"trace": "constant:5:30"}
QUESTION = {"what": "video", "policies": ["ipa", "rate"], "seeds": 2, "values": SHORT}


def asked(explorer: Explorer, path: str, **more: Any) -> tuple[int, Any]:
    body = {"tab": path, "number": 1, "question": QUESTION, **more}
    status, text, _ = send(explorer, "POST", path, body)
    return status, json.loads(text)


# ---- inside ----


def test_every_moment_counts_what_the_tables_say() -> None:
    """Counted one by one at some moments, of an overloaded run, which drops requests and replaces replicas."""
    run = simulate(find("video", {"trace": "constant:40:60", "limit_cores": 4, "journal": "full"}))
    assert run.summary["dropped"] > 0
    found = inside(run)
    requests = run.tables["requests"].set_index("request")
    for name, counts in found["stages"].items():
        rows = run.tables["stages"]
        rows = rows[rows["stage"] == name]
        replicas = run.tables["replicas"]
        replicas = replicas[replicas["stage"] == name]
        left_s = rows["start_s"].fillna(rows["request"].map(requests["end_s"]))
        for place in (0, 7, 23, 59):
            at_s = found["moments_s"][place]
            waiting = (rows["enqueue_s"] <= at_s) & ~(left_s <= at_s)
            served = (rows["start_s"] <= at_s) & ~(rows["finish_s"] <= at_s)
            existing = (replicas["created_s"] <= at_s) & ~(replicas["gone_s"] <= at_s)
            assert counts["waiting"][place] == waiting.sum()
            assert counts["served"][place] == served.sum()
            assert counts["batches"][place] == len(rows[served].drop_duplicates(["replica", "batch"]))
            assert sum(counts[kind][place] for kind in ("starting", "ready", "draining")) == existing.sum()
    assert any(counts["waiting"] != [0] * 60 for counts in found["stages"].values())
    assert any(counts["batches"] != counts["served"] for counts in found["stages"].values())


def test_a_chain_is_drawn_as_a_graph_with_what_flows_on_its_edges() -> None:
    """What came in the last 10 s, or since the start."""
    run = simulate(find("video", SHORT))
    found = inside(run)
    (edge,) = found["edges"]
    assert (edge["name"], edge["way"]) == ("object-detection to image-classification", [(0.25, 0.5), (0.75, 0.5)])
    assert [each["place"] for each in found["stages"].values()] == edge["way"]
    rows = run.tables["stages"]
    came_s = rows.loc[rows["stage"] == "image-classification", "enqueue_s"]
    for place, over_s in ((1, 1), (4, 4), (25, 10)):
        at_s = found["moments_s"][place]
        assert edge["flow_rps"][place] == ((came_s > at_s - 10) & (came_s <= at_s)).sum() / over_s


def test_an_item_flows_on_the_edge_on_which_its_request_was_served_just_before() -> None:
    """Request 0 comes to c from a at 1.25 s and from b at 2.25 s; of request 1 both end at 3 s. d joins c and a."""
    rows = [
        *((0, "a", 1.0), (0, "b", 2.0), (0, "c", 1.25), (0, "c", 2.25), (0, "d", 2.5)),
        *((1, "a", 3.0), (1, "b", 3.0), (1, "c", 3.25), (1, "c", 3.25), (1, "d", 3.5)),
    ]
    visits = pd.DataFrame(rows, columns=["request", "stage", "enqueue_s"]).assign(finish_s=lambda of: of["enqueue_s"])
    edges = (Edge("a", "c"), Edge("b", "c"), Edge("c", "d"), Edge("a", "d"))
    graph = Graph(edges, sla_s=1.0, joins={"d": Join("all")})

    def came(edge: Edge) -> list[tuple[float, float]]:
        came_s, parts = _came(visits, graph, edge, hop_s=0.25)
        return list(zip(came_s.tolist(), parts.tolist(), strict=True))

    assert came(edges[0]) == [(1.25, 1.0), (3.25, 0.5), (3.25, 0.5)]
    assert came(edges[1]) == [(2.25, 1.0), (3.25, 0.5), (3.25, 0.5)]
    assert came(edges[2]) == came(edges[3]) == [(2.5, 1.0), (3.5, 1.0)]


def test_a_graph_is_drawn_with_its_joins_and_edges_beside_the_stages_between(tmp_path: Path) -> None:
    (tmp_path / "tree.yaml").write_text(TREE)
    found = inside(simulate(find(str(tmp_path / "tree.yaml"), {**SHORT, "policy": "scale-only:low"})))
    assert (found["columns"], found["rows"]) == (4, 2)
    assert {name: each["join"] for name, each in found["stages"].items() if each["join"]} == {"merge": "all"}
    ways = {each["name"]: each["way"] for each in found["edges"]}
    assert ways["faces to merge"] == [(0.375, 0.25), (0.625, 0.25), (0.875, 0.5)]
    assert all(len(each["flow_rps"]) == len(found["moments_s"]) for each in found["edges"])


def test_decisions_are_those_of_the_journal_with_their_reasons() -> None:
    run = simulate(find("video", {**SHORT, "journal": "full"}))
    found = inside(run)["decisions"]
    assert [each["time_s"] for each in found] == [entry.observation.time_s for entry in run.entries]
    words = "\n".join(found[1]["words"])
    decision = run.entries[1].decision
    assert decision.why is not None
    assert f"forecast {decision.forecast_rps:.1f} rps, planned for {decision.planned_load_rps:.1f} rps" in words
    assert f"runner-up: worse by {decision.why['runner_up']['difference']:.3g}" in words
    assert "10 ms more of SLA: " in words


def test_looking_inside_needs_the_records_of_all_requests() -> None:
    with pytest.raises(ScenarioError, match="records: should be all to look inside a run; given sample"):
        inside(simulate(find("video", {**SHORT, "records": "sample"})))


def test_the_server_gives_the_run_that_is_asked_for(explorer: Explorer) -> None:
    status, found = asked(explorer, "/inside", policy=1, seed=1)
    run = simulate(find("video", {**SHORT, "policy": "rate", "seed": 2, "journal": "full"}))
    assert (status, found) == (200, json.loads(json.dumps(inside(run))))
    for wrong in ({"policy": 2, "seed": 0}, {"policy": 0, "seed": 2}, {"policy": -1, "seed": 0}, {}):
        assert asked(explorer, "/inside", **wrong)[0] == 422


# ---- plans ----


def test_the_plan_is_that_of_optimise_and_lies_on_the_front() -> None:
    scenario = Scenario(pipeline="video")
    found, expected = planned(scenario, 20.0), explain(scenario, 20.0)
    cores, pas = expected.objective["cost_cores"], 100 * expected.objective["pas"]
    assert found["words"].startswith(f"ipa takes {cores:g} cores for PAS {pas:.2f}: optimal: object-detection ")
    front, over, _ = (each["spec"]["data"] for each in found["plots"])
    plans = list(zip(front[0]["x"], front[0]["y"], strict=True))
    assert all(a < b and less < more for (a, less), (b, more) in pairwise(plans))
    assert front[1]["x"] == [cores]
    assert over[0]["x"][29] == 20.0
    assert sum(stage["y"][29] for stage in over[:2]) == cores


@pytest.mark.parametrize("load", [0, -1, 1e9, "20", None, True])
def test_a_load_that_is_none_is_refused(explorer: Explorer, load: Any) -> None:
    status, told = asked(explorer, "/plan", policy=0, load=load)
    assert (status, told["error"][:5]) == (422, "load:")


def test_a_policy_without_a_plan_says_so(explorer: Explorer) -> None:
    status, told = asked(explorer, "/plan", policy=1, load=20)
    assert status == 422
    assert "--policy rate: does not use the optimiser" in told["error"]


# ---- on the page ----


@needs_chromium
def test_a_moment_is_moved_and_played(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, "from=video&trace=constant%3A5%3A30")
    shown.run("document.querySelector('#inside summary').click()")
    shown.until("document.querySelectorAll('.stage').length === 2")
    run = inside(simulate(find("video", {**SHORT, "journal": "full"})))
    shown.run("document.getElementById('moment').value = 12")
    shown.run("document.getElementById('moment').dispatchEvent(new Event('input'))")
    counts = run["stages"]["object-detection"]
    text = shown.run("document.querySelector('.stage .counts').textContent")
    assert text.startswith(f"{counts['waiting'][12]} waiting, {counts['served'][12]} in service")
    assert f"; {counts['ready'][12]} ready" in text
    assert shown.run("document.querySelector('.flow').textContent") == f"{run['edges'][0]['flow_rps'][12]:.1f}/s"
    assert shown.run("document.querySelector('#decided li').textContent") == "Decided at 10 s"
    shown.run("document.getElementById('speed').value = '60'")
    shown.run("document.getElementById('play').click()")
    shown.until("document.getElementById('time').textContent === '29 s'")
    shown.until("document.getElementById('play').textContent === 'Play'")
    assert shown.run("errors") == []


@needs_chromium
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_graph_is_drawn_with_arrows_from_stage_to_stage(
    shown: Browser, explorer: Explorer, tmp_path: Path, width: int
) -> None:
    """From left to right or from above; no stage lies on another, and each arrow ends at the stage it leads to."""
    (tmp_path / "tree.yaml").write_text(TREE)
    shown.size(width, 900)
    visit(shown, explorer, urlencode({"from": tmp_path / "tree.yaml", "policy": "scale-only:low", **SHORT}))
    shown.run("document.querySelector('#inside summary').click()")
    shown.until("document.querySelectorAll('.stage').length === 5")
    boxes = shown.run("""[...document.querySelectorAll('.stage')].map(each => {
      const origin = document.querySelector('#network svg').getBoundingClientRect();
      const {left, right, top, bottom} = each.getBoundingClientRect();
      return [left - origin.left, right - origin.left, top - origin.top, bottom - origin.top];
    })""")
    for one, other in combinations(boxes, 2):
        assert one[1] < other[0] or other[1] < one[0] or one[3] < other[2] or other[3] < one[2]
    ends = shown.run("""[...document.querySelectorAll('.edge')].map(each => {
      const {x, y} = each.getPointAtLength(each.getTotalLength());
      return [x, y];
    })""")
    names = list(inside(simulate(find(str(tmp_path / "tree.yaml"), {**SHORT, "policy": "scale-only:low"})))["stages"])
    aimed = ["cars", "faces", "check", "merge", "merge"]
    for (x, y), name in zip(ends, aimed, strict=True):
        left, right, top, bottom = boxes[names.index(name)]
        assert left - 1 <= x <= right + 1
        assert top - 1 <= y <= bottom + 1
    shown.size(WIDE, 900)
    assert shown.run("errors") == []


@needs_chromium
def test_a_slider_moves_the_plan(shown: Browser, explorer: Explorer) -> None:
    shown.size(WIDE, ALL)
    visit(shown, explorer, "from=video&trace=constant%3A5%3A30")
    shown.run("document.querySelector('#plan summary').click()")
    shown.until("document.querySelectorAll('#plan-figures .main-svg').length > 0")
    before = shown.run("document.getElementById('plan-words').textContent")
    shown.run("document.getElementById('plan-load').value = 20")
    shown.run("document.getElementById('plan-load').dispatchEvent(new Event('input'))")
    shown.until(f"document.getElementById('plan-words').textContent !== {json.dumps(before)}")
    words = planned(find("video", SHORT), 20.0)["words"]
    assert shown.run("document.getElementById('plan-words').textContent") == words
    assert shown.run("errors") == []


def test_inside_a_graph_items_wait_and_are_served() -> None:
    """yolov5n finds two cars in a frame, which come to the classifier at once."""
    chosen = {"policy": "scale-only:low", "trace": "constant:20:30"}
    run = simulate(Scenario(pipeline="traffic").with_values(chosen))
    found, items = inside(run), run.tables["items"]
    cars = items[items["stage"] == "cars"]
    for waiting, moment_s in zip(found["stages"]["cars"]["waiting"], found["moments_s"], strict=True):
        left_s = cars["start_s"].fillna(cars["dropped_s"])
        assert waiting == ((cars["enqueue_s"] <= moment_s) & (left_s > moment_s)).sum()
    assert max(found["stages"]["cars"]["waiting"]) > 0
