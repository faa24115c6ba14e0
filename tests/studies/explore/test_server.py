"""Who is answered and who is not, and that answers are those of the commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from ipa.studies import compare, find, simulate
from ipa.studies.explore import Explorer, ExplorerQuestion, about
from ipa.studies.explore.coarse import beginning
from ipa.studies.explore.questions import controls
from ipa.studies.many import by_policy, cell
from ipa.studies.pages.comparison import page
from ipa.studies.runs import FIGURES
from ipa.studies.scenario import Scenario
from tests.command import PIPELINE, answer, ipa, refusal, start
from tests.studies.explore.conftest import WRONG, send

pytest.importorskip("plotly")

SHORT = {"trace": "constant:5:30"}


def asked(explorer: Explorer, question: Any, number: int = 1, tab: str = "test", **more: Any) -> tuple[int, Any]:
    status, text, _ = send(explorer, "POST", "/answer", {"tab": tab, "number": number, "question": question, **more})
    return status, json.loads(text)


def found(explorer: Explorer, **question: Any) -> Any:
    status, answered = asked(explorer, {"what": "video", "values": SHORT, **question}, tab=f"{question}"[:64])
    assert status == 200, answered
    return answered


# ---- answers are those of commands ----

OF_MAKING = {"wall_s": 0, "engine": ""}
"""What is no figure of a run: `ipa simulate` takes the engine that is there sooner."""


@pytest.mark.parametrize(
    "question",
    [
        {},
        {
            "policies": ["ipa goal={max: accuracy, cores_at_most: 3} load_margin=0.1"],
            "values": {**SHORT, "sla_s": "3.5"},
        },
        {"policies": ["hpa", 'rate label="by rate, simply"'], "seeds": 2},
        {"policies": ["scale-only:low"], "seeds": 2, "values": {**SHORT, "guards.max_replicas": "2", "seed": "7"}},
    ],
)
def test_a_run_has_the_figures_of_the_command_to_the_last_digit(explorer: Explorer, question: dict[str, Any]) -> None:
    answered = found(explorer, **question)
    words = shlex.split(answered["command"])
    printed = answer(*words[1:], "--json", "--quiet")
    runs = [run for each in answered["policies"] for run in each["runs"]]
    for run, of_command in zip(runs, printed if isinstance(printed, list) else [printed], strict=True):
        assert run["wall_s"] > 0 < of_command["wall_s"]
        assert {**run, **OF_MAKING} == {**of_command, **OF_MAKING}


@pytest.mark.parametrize("options", [("simulate", "--policy", "rate margin=0.5"), ("compare", "--policy", "hpa")])
def test_a_results_folder_is_opened_with_its_question_and_asked_on(
    explorer: Explorer, elsewhere: Path, options: tuple[str, ...]
) -> None:
    command, *policies = options
    policies += ["--policy", "rate margin=0.5 label=calm", "--seeds", "2"] if command == "compare" else []
    made = ipa(command, "video", *policies, "--trace", "constant:5:30", "--set", "seed=3", "--out", "out", "--json")
    stored = json.loads(made.stdout)
    question = about("out")
    told = {"what": str(elsewhere / "out"), "policies": list(question.policies), "seeds": question.seeds}
    answered = found(explorer, **told, values={})
    runs = [{**run, **OF_MAKING} for each in answered["policies"] for run in each["runs"]]
    assert runs == [{**run, **OF_MAKING} for run in (stored if isinstance(stored, list) else [stored])]
    assert answer(*shlex.split(answered["command"])[1:], "--json", "--quiet")
    exec(answered["python"], {"print": lambda _: None})
    assert found(explorer, **told, values={"scale": "2"})["policies"][0]["runs"][0]["requests"] > runs[0]["requests"]


def test_the_file_and_the_python_of_an_answer_make_the_same_run(explorer: Explorer, tmp_path: Path) -> None:
    answered = found(
        explorer, policies=["ipa beta=2"], values={**SHORT, "limits.node_cores": "[8, 8]", "hop_s": "0.01"}
    )
    (run,) = answered["policies"][0]["runs"]
    (tmp_path / "it.yaml").write_text(answered["file"])
    for scenario in (find(str(tmp_path / "it.yaml")), *_scenarios_of(answered["python"])):
        assert {**simulate(scenario).summary, "wall_s": 0} == {**run, "wall_s": 0}


def _scenarios_of(code: str) -> list[Scenario]:
    assert code.startswith("from ipa.studies import find, simulate\n")
    names: dict[str, Any] = {"print": lambda _: None}
    exec(code, names)
    return [names["run"].scenario]


def test_a_table_of_means_is_that_of_compare(explorer: Explorer) -> None:
    answered = found(explorer, policies=["ipa", "scale-only:high"], seeds=3)
    printed = ExplorerQuestion.of(
        {"what": "video", "policies": ["ipa", "scale-only:high"], "seeds": 3, "values": SHORT}
    )
    groups = read_groups(printed)
    assert [each["policy"] for each in answered["policies"]] == [group.policy for group in groups]
    for each, group in zip(answered["policies"], groups, strict=True):
        assert [each["estimates"][name]["text"] for name in answered["figures"]] == [cell(group, of) for of in FIGURES]


def read_groups(question: ExplorerQuestion) -> Any:
    return by_policy([simulate(scenario) for of_policy in question.scenarios() for scenario in of_policy])


def test_an_answer_says_what_it_was_made_with(explorer: Explorer) -> None:
    made = found(explorer, seeds=2)["made"]
    run = simulate(find("video", {"trace": "constant:5:30"}))
    assert made["load"]["sha256"] == run.trace.sha256
    assert (made["seeds"], made["engine"], made["requests"]) == ([1, 2], run.summary["engine"], 150)
    assert re.fullmatch(r"\d+\.\d+.*", made["version"])


def test_without_records_there_are_figures_and_nothing_is_drawn(explorer: Explorer) -> None:
    answered = found(explorer, values={**SHORT, "records": "none"})
    assert [plot["name"] for plot in answered["plots"]] == ["plane"]
    assert answered["policies"][0]["runs"][0]["requests"] == 150


def test_the_figures_are_those_of_a_report(explorer: Explorer) -> None:
    """But for the reasons of decisions, which need the journal."""
    answered = found(explorer, policies=["ipa", "rate"], seeds=2)
    plots = {plot.name: plot for plot in page(compare(find("video", SHORT), ["ipa", "rate"], seeds=2, jobs=1)).plots}
    for name in ("plane", "load", "latency"):
        shown = next(each for each in answered["plots"] if each["name"] == name)
        assert (shown["title"], shown["note"]) == (plots[name].title, plots[name].note)
        assert shown["spec"] == json.loads(json.dumps(plots[name].spec))


# ---- coarse first ----


def coarse(explorer: Explorer, **question: Any) -> Any:
    status, text, _ = send(explorer, "POST", "/coarse", {"tab": f"{question}"[:64], "number": 1, "question": question})
    assert status == 200, text
    return json.loads(text)


def test_of_a_long_load_its_beginning_and_the_first_seed_are_a_coarse_answer(explorer: Explorer) -> None:
    long = {"what": "video", "policies": ["ipa", "rate"], "seeds": 3, "values": {"trace": "constant:5:600"}}
    answered = coarse(explorer, **long)
    assert answered["coarse"] == "Coarse: the first 300 of 600 s, seed 1 of 3. The whole answer follows."
    assert answered["recommendation"] == []
    for each in answered["policies"]:
        wanted = {"trace": "constant:5:600", "policy": each["policy"], "window": [[0, 300]]}
        (run,) = each["runs"]
        assert {**run, "wall_s": 0} == {**simulate(find("video", wanted)).summary, "wall_s": 0}
    assert answered["command"].endswith("--set trace=constant:5:600 --seeds 3")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ({"seeds": 2, "values": SHORT}, "seed 1 of 2"),
        ({"values": {"trace": "constant:5:900"}}, "the first 300 of 900 s"),
        ({"values": {"trace": "constant:5:900", "window": "100:200, 300:900"}}, "the first 300 of 700 s"),
        ({"values": SHORT}, None),
        ({"values": {"trace": "constant:5:599"}}, None),
    ],
)
def test_there_is_a_coarse_answer_only_where_it_is_less_than_the_whole(
    explorer: Explorer, question: dict[str, Any], text: str | None
) -> None:
    told = coarse(explorer, what="video", policies=["rate"], **question)["coarse"]
    assert told == (None if text is None else f"Coarse: {text}. The whole answer follows.")


def test_the_beginning_of_windows_is_as_long_as_asked() -> None:
    windows = beginning(Scenario(pipeline="video", window=((100, 200), (300, 900), (950, 960))), 300).window
    assert windows == ((100, 200), (300, 500))


# ---- a pin ----


def test_a_pin_against_itself_differs_in_nothing(explorer: Explorer) -> None:
    first = found(explorer, policies=["ipa"], seeds=2)
    question = {"what": "video", "policies": ["ipa"], "seeds": 2, "values": SHORT}
    _, again = asked(explorer, question, pinned={"number": 0, "question": question})
    assert again["policies"][0]["estimates"] == first["policies"][0]["estimates"]
    (only,) = again["differences"]
    assert (only["words"], only["against"], only["seeds"]) == ("no difference in any figure", "ipa", [1, 2])


def test_a_difference_is_that_of_the_runs_seed_by_seed(explorer: Explorer) -> None:
    """The policy with another parameter is compared with the pin's of the same name, over the seeds that both have."""
    busy = {"trace": "constant:20:30"}
    before = {"what": "video", "policies": ["rate", "scale-only:low"], "seeds": 3, "values": busy}
    pinned = {each["policy"]: each["runs"] for each in asked(explorer, before, 1, "pin")[1]["policies"]}
    question = {"what": "video", "policies": ["scale-only:high"], "seeds": 2, "values": busy}
    _, now = asked(explorer, question, 2, "pin", pinned={"number": 1, "question": before})
    (only,) = now["differences"]
    assert only["seeds"] == [1, 2]
    cores = next(each for each in only["figures"] if each["name"] == "cores")
    ours, theirs = (
        [run["cost_mean_cores"] for run in runs] for runs in (now["policies"][0]["runs"], pinned[only["against"]])
    )
    assert cores["values"] == [a - b for a, b in zip(ours, theirs[:2], strict=True)]
    assert cores["text"].startswith("+")
    assert f"cores {cores['text']}" in only["words"]


@pytest.mark.parametrize(
    "pinned",
    [
        [],
        {},
        3,
        {"number": "1"},
        {"number": 1},
        {"number": -1, "question": {"what": "videoo"}},
        {"number": -1, "measured": "gone"},
    ],
)
def test_a_pin_that_is_none_is_refused(explorer: Explorer, pinned: Any) -> None:
    status, told = asked(explorer, {"what": "video", "values": SHORT}, pinned=pinned)
    assert (status, told["error"][:7]) == (422, "pinned:")


def test_a_pin_on_another_load_and_pipeline_is_drawn_beside(explorer: Explorer) -> None:
    """The longer run ends the axis of time; a stage of one pipeline has an empty row for the other."""
    other = {"what": "audio-qa", "policies": ["rate"], "values": {"trace": "constant:5:60"}}
    status, now = asked(explorer, {"what": "video", "values": SHORT}, 1, "two", pinned={"number": 0, "question": other})
    assert status == 200
    words = {plot["name"]: plot["words"] for plot in now["plots"]}
    assert words["plane"].endswith("Shown: ipa, rate (pinned).")
    layout = next(plot["spec"]["layout"] for plot in now["plots"] if plot["name"] == "cores")
    start, end = layout["xaxis"]["range"]
    assert end - start == pytest.approx(60_000, rel=1e-3)


# ---- what is refused is refused as the command line does ----


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a refused command must write nothing."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("what", "policies", "values"),
    [
        ("videoo", [], {}),
        ("video", [], {"sla_s": "-1"}),
        ("video", [], {"sla_s": "{"}),
        ("video", [], {"sla_ss": "1"}),
        ("video", [], {"drop": "requests"}),
        ("video", [], {"guards.max_replicas": "0"}),
        ("video", ["ipaa"], {}),
        ("video", ["ipa alphaa=2"], {}),
        ("video", [], {"trace": "burstyy"}),
    ],
)
@pytest.mark.usefixtures("empty_folder")
def test_a_wrong_value_is_answered_in_the_words_of_the_command(
    explorer: Explorer, what: str, policies: list[str], values: dict[str, str]
) -> None:
    status, told = asked(explorer, {"what": what, "policies": policies, "values": values})
    options = [word for key, text in values.items() for word in ("--set", f"{key}={text}")]
    options += [word for each in policies for word in ("--policy", each)]
    assert status == 422
    assert told["error"] == refusal("simulate", what, *options)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (None, "a question should have"),
        ({"what": 1}, "what: should be"),
        ({"what": "a\0b"}, "what: should be"),
        ({"policies": ["ipa"] * 17}, "policies: should be a list of at most 16"),
        ({"seeds": 0}, "seeds: should be a whole number from 1 to 50; given 0"),
        ({"seeds": True}, "seeds: should be"),
        ({"values": {"sla_s": 2}}, "values: should be a mapping of keys to texts"),
        ({"values": {"policy.alpha": "2"}}, "policy: should not be among the values"),
        ({"more": 1}, "a question should have"),
        ({"values": {"seed": str(2**63 - 1)}, "seeds": 2}, "seed 9223372036854775807: 2 seeds"),
    ],
)
def test_a_question_that_is_none_is_refused(explorer: Explorer, question: Any, text: str) -> None:
    status, told = asked(explorer, question)
    assert status == 422
    assert told["error"].startswith(text)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "text"),
    [("Raises", "no idea"), ("Ends", "the run ended its process: exit code 3"), ("Missing", "no class 'Missing'")],
)
def test_a_policy_that_fails_is_said_and_the_next_question_is_answered(
    explorer: Explorer, name: str, text: str
) -> None:
    status, told = asked(explorer, {"what": "video", "policies": [WRONG + name], "values": SHORT})
    assert status == 422
    assert text in told["error"]
    assert "Traceback" not in told["error"]
    assert found(explorer, policies=[WRONG + "Prints"])["policies"][0]["runs"][0]["requests"] == 150


@pytest.mark.long
def test_a_newer_question_ends_the_older_of_its_tab_and_no_other(explorer: Explorer, tmp_path: Path) -> None:
    """The older runs wait for a file that stays: each is broken off, with its process, once there is a newer one."""
    (tmp_path / "here").touch()
    slow = {"what": "video", "policies": [f"{WRONG}Waits file={tmp_path / 'here'}"], "seeds": 3, "values": SHORT}
    answers: dict[str, Any] = {}

    def ask(name: str, question: Any, number: int, tab: str) -> Thread:
        thread = Thread(target=lambda: answers.update({name: asked(explorer, question, number, tab)}))
        thread.start()
        return thread

    older = ask("older", slow, 1, "one")
    while not explorer._newest.get("one"):
        sleep(0.01)
    other = ask("other", {"what": "video", "values": SHORT}, 1, "two")
    newer = ask("newer", {"what": "video", "values": SHORT}, 2, "one")
    for thread in (older, newer, other):
        thread.join(60)
    assert {name: status for name, (status, _) in answers.items()} == {"older": 409, "newer": 200, "other": 200}
    assert asked(explorer, {"what": "video", "values": SHORT}, 1, "one")[0] == 409


# ---- hostile requests ----

QUESTION = {"tab": "evil", "number": 1, "question": {"what": "video", "values": SHORT}}


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (421, {"Host": "evil.example"}),
        (421, {"Host": "evil.example:80"}),
        (421, {"Host": "localhost"}),
        (421, {"without": "Host"}),
        (403, {"Origin": "http://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "http://127.0.0.1:1"}),
        (403, {"without": "Origin"}),
        (403, {"Sec_Fetch_Site": "cross-site"}),
        (403, {"Sec_Fetch_Site": "same-site"}),
        (403, {"without": "Cookie"}),
        (403, {"Cookie": "ipa-explore=x"}),
        (403, {"Cookie": "=;;=\x7f"}),
        (415, {"Content_Type": "text/plain"}),
        (415, {"Content_Type": "application/x-www-form-urlencoded"}),
        (411, {"without": "Content-Length"}),
        (411, {"Content_Length": "-1"}),
        (411, {"Content_Length": "1e3"}),
        (413, {"Content_Length": str(2**20 + 1)}),
        (413, {"Content_Length": "9" * 30}),
    ],
)
def test_a_question_from_elsewhere_is_refused(explorer: Explorer, status: int, changes: dict[str, str]) -> None:
    before = dict(explorer._newest)
    found, text, _ = send(explorer, "POST", "/answer", QUESTION, **changes)
    assert (found, text.count("\n")) == (status, 1)
    assert explorer._newest == before


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"nan"])
def test_a_body_that_is_no_json_is_refused(explorer: Explorer, body: bytes) -> None:
    assert send(explorer, "POST", "/answer", body)[0] in (400, 422)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT", "BREW"])
def test_no_other_method_is_answered(explorer: Explorer, method: str) -> None:
    assert send(explorer, method, "/answer")[0] == 405


@pytest.mark.long
def test_a_long_fraction_is_short_in_names_and_whole_in_the_command(explorer: Explorer) -> None:
    question = {"what": "video", "policies": ["ipa alpha=19.9521608037076"], "values": {"trace": "constant:5:30"}}
    found = explorer.answer({"tab": "digits", "number": 1, "question": question})
    assert found["made"]["title"].endswith("policy ipa alpha=19.9522")
    assert [each["title"] for each in found["policies"]] == ["ipa alpha=19.9522"]
    assert found["plots"][0]["words"].endswith("Shown: ipa alpha=19.9522.")
    assert "ipa alpha=19.9521608037076" in found["command"]


@pytest.mark.parametrize("path", ["/", "/main.js", "/plotly.js", "/choices"])
def test_nothing_is_given_without_the_token(explorer: Explorer, path: str) -> None:
    status, text, headers = send(explorer, "GET", path, without="Cookie")
    assert status == 403
    assert "needs a token: put the `?token=...` of the address that `ipa explore` printed before the `#`" in text
    assert "Set-Cookie" not in headers
    for changes in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert send(explorer, "GET", path, **changes)[0] in (403, 421)


@pytest.mark.parametrize("path", ["/nothing", "/../server.py", "/page/main.js", "/%2e%2e/server.py", "/answer"])
def test_there_is_nothing_but_the_page(explorer: Explorer, path: str) -> None:
    assert send(explorer, "GET", path)[0] == 404


def test_the_token_becomes_a_cookie_and_leaves_the_address(explorer: Explorer) -> None:
    status, _, headers = send(explorer, "GET", f"/?token={explorer.token}", without="Cookie")
    assert (status, headers["Location"]) == (303, "/")
    assert headers["Set-Cookie"] == f"{explorer.cookie}={explorer.token}; Path=/; HttpOnly; SameSite=Strict"
    for wrong in ("", "x", explorer.token[:-1], explorer.token + "x", "%ff"):
        assert send(explorer, "GET", f"/?token={wrong}", without="Cookie")[0] == 403
    assert send(explorer, "GET", f"/?token={explorer.token}", without="Cookie", Host="evil.example")[0] == 421
    assert send(explorer, "GET", f"/main.js?token={explorer.token}", without="Cookie")[0] == 403


def test_every_answer_says_that_nothing_comes_from_elsewhere(explorer: Explorer) -> None:
    for path in ("/", "/choices", "/nothing"):
        headers = send(explorer, "GET", path)[2]
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


# ---- the page's parts ----


def test_every_key_of_a_scenario_has_a_control() -> None:
    """But those that the page has elsewhere."""
    known = {each["key"] for each in controls()}
    inside = {"guards", "limits", "read"}
    top = set(Scenario.model_fields) - {"schema_version", "kind", "pipeline", "policy", "trace_sha256"}
    assert {key.partition(".")[0] for key in known} == top
    assert {key for key in known if "." not in key} == top - inside


def test_the_page_and_its_parts_are_in_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    from tests.test_packaging import ROOT, built

    names = ZipFile(built("wheel", ROOT, tmp_path)).namelist()
    page = {path.name for path in (ROOT / "studies" / "explore" / "page").iterdir()}
    assert {name.rpartition("/")[2] for name in names if name.startswith("ipa/studies/explore/page/")} == page
    assert len(page) > 5


def test_every_colour_of_the_page_is_one_of_all_pages(explorer: Explorer) -> None:
    found = send(explorer, "GET", "/kit.css")[1]
    named = set(re.findall(r"--([\w-]+):", found))
    for part in files("ipa.studies.explore").joinpath("page").iterdir():
        written = part.read_text()
        assert not re.findall(r"#[0-9a-f]{6}\b", written), part.name
        assert set(re.findall(r"""(?:var\(--|colours\(")([\w-]+)[")]""", written)) <= named, part.name


@pytest.mark.long
def test_a_file_of_ones_own_says_what_holds(explorer: Explorer, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    scenario = {
        "schema_version": 1,
        "kind": "scenario",
        "pipeline": "mine.yaml",
        "sla_s": 4,
        "policy": "rate margin=0.3",
    }
    (tmp_path / "it.yaml").write_text(yaml.safe_dump({**scenario, **SHORT}))
    base = json.loads(send(explorer, "POST", "/base", {"what": str(tmp_path / "it.yaml")})[1])
    assert (base["pipeline"], base["policy"], base["values"]["sla_s"]) == ("mine", "rate margin=0.3", "4.0")
    assert base["usual"]["start_up_s"] == 8
    answered = found(explorer, what=str(tmp_path / "it.yaml"), values={})
    assert answered["made"]["sla_s"] == 4
    assert answered["command"] == f"ipa simulate {tmp_path / 'it.yaml'}"


# ---- the command ----

NO_PART = ("aiohttp", "gurobipy", "keras", "kubernetes", "msgspec", "orjson", "prometheus_client", "uvloop")
"""What the README's first command does not install: servers, a cluster, a licensed solver, training."""


def test_it_starts_where_the_readme_s_first_command_was_run() -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({NO_PART}))\n"
    code += "from ipa.studies.explore import Explorer, about\nExplorer(jobs=1).close()\nprint(about('video').what)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("video\n", "")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_command_prints_an_address_and_ends_with_its_files(tmp_path: Path, number: signal.Signals) -> None:
    process = start("explore", "nlp", "--no-browser", cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert process.stdout is not None
    address = process.stdout.readline()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}#from=nlp(&policy=[^&]+){5}\n", address)
    assert list(tmp_path.glob("ipa-explore-*"))
    process.send_signal(number)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "Ctrl-C ends it\nended\n")
    assert not list(tmp_path.glob("ipa-explore-*"))


@pytest.mark.usefixtures("empty_folder")
def test_the_command_refuses_what_it_cannot_ask() -> None:
    assert refusal("explore", "videoo").startswith("no pipeline is called 'videoo'; did you mean 'video'?")
    assert "--port" in refusal("explore", "--port", "70000")


def test_a_port_that_is_taken_is_named(explorer: Explorer) -> None:
    result = ipa("explore", "--no-browser", "--port", explorer.server_port)
    assert result.exit_code == 1
    assert f"Error: --port {explorer.server_port}: cannot be had: Address already in use" in result.stderr


def test_a_form_that_nothing_is_taken_in_is_refused(explorer: Explorer) -> None:
    asked = {"tab": "take", "number": 1, "question": {"what": "video"}, "form": ["report"]}
    status, text, _ = send(explorer, "POST", "/take", asked)
    assert (status, json.loads(text)["error"]) == (422, "form: should be one of report, table")
