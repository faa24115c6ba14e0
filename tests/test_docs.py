"""The documentation is true: keys, columns, commands, outputs, Python blocks, links and examples are checked.

A fenced block's first word is its language. `sh`: commands, run one after the other. `console`: a command after `$ `
and its output, `...` standing for any lines. `python`: run. A second word is a file name: the block is written to that
file, in the folder where the page's other blocks run.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ipa import profiles, traces
from ipa.policies import POLICIES
from ipa.profiles import read_yaml
from ipa.studies import Run, Scenario, find, load, results, simulate
from ipa.studies.commands import main
from ipa.studies.fleets import answered, load_fleet
from ipa.studies.profile.numbers import MARKS, counts, sla_sum
from ipa.studies.runs.columns import COLUMNS, MANIFEST, SUMMARY
from ipa.studies.runs.tables import COUNTED, TABLES
from tests.programs import lookup_pages, page_sizes
from tests.studies.profiling.test_language_fit import served_requests

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LONG = {
    *("autoscalers.md", "environment.md", "explain.md", "fleets.md", "live.md", "model.md", "paper.md", "policies.md"),
    *("profiling.md", "scenarios.md", "studies.md"),
}
"""Pages whose commands take long."""
LINKED = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
EXAMPLES = ROOT / "studies" / "examples"
REAL_TRACE = os.environ.get(traces.TRACE_VARIABLE, "")
HAS_REPORT = find_spec("plotly") is not None

needs_real_trace = pytest.mark.skipif(not REAL_TRACE, reason="IPA_TRACE does not name the real trace")


# ---- reading pages ----


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its first line of text."""

    language: str
    file: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A command, and the lines it should print (None: whatever)."""

    words: tuple[str, ...]
    output: tuple[str, ...] | None
    line: int

    @property
    def needs_real_trace(self) -> bool:
        return any("twitter:" in word for word in self.words)

    @property
    def needs_report(self) -> bool:
        return (
            "study" in self.words
            or "report" in self.words
            or "--report" in self.words
            or self.words[-1].endswith(".html")
        )


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2] or "", match[3], text.count("\n", 0, match.start(3)) + 1)


def commands(block: Block) -> Iterator[Command]:
    """The `ipa` commands of a block; others (`export`) are for the reader's shell."""
    if block.language == "console":
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            first, *output = part.splitlines()
            yield Command(tuple(shlex.split(first)), tuple(output), block.line)
    elif block.language == "sh":
        for offset, line in enumerate(block.text.splitlines()):
            words = tuple(shlex.split(line, comments=True))
            if words and words[0] == "ipa":
                yield Command(words, None, block.line + offset)


def all_commands() -> list[tuple[Path, Command]]:
    return [(page, command) for page in PAGES for block in blocks(page) for command in commands(block)]


def shell_commands(page: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The lines and words of the commands of a page's indented blocks, which are not run as its fenced ones are."""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^(?: {4}){1,2}(?:\$ )?((?:ipa|make|python) (?:.*\\\n)*.*)$", text, re.MULTILINE):
        parsed = shlex.shlex(match[1].replace("\\\n", " "), posix=True, punctuation_chars=True)
        parsed.whitespace_split, parsed.commenters = True, "#"
        words: list[str] = []
        for word in [*parsed, ";"]:
            if set(word) <= set("|&;<>"):
                yield text.count("\n", 0, match.start()) + 1, tuple(words)
                words = []
            else:
                words.append(word)


def anchor(heading: str) -> str:
    """Where a link to a heading leads."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def table_rows(page: str, heading: str, header: str) -> list[list[str]]:
    """The cells of the table that begins with `header`, in the section under `heading`."""
    text = (DOCS / page).read_text(encoding="utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    lines = iter(section.splitlines())
    assert any(line.startswith(header) for line in lines), f"no table {header!r} under {heading!r}"
    assert next(lines).startswith("|---")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.replace(r"\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def named(cell: str) -> str:
    """What stands in a cell's backticks, or the cell."""
    match = re.match(r"`([^`]*)`", cell)
    return match[1] if match else cell


# ---- running pages ----


def run_command(command: Command) -> str:
    # Worker processes gain nothing here, and forking under a test runner's threads is a warning on newer Pythons.
    jobs = ("--jobs", "1") if command.words[1] in ("compare", "explain", "study", "sweep", "tune") else ()
    result = CliRunner().invoke(main, [*command.words[1:], *jobs])
    said = f"{' '.join(command.words)} (line {command.line}):\n{result.output}"
    assert result.exit_code == 0, said
    if command.output is not None:
        wanted = "".join(".*" if line == "..." else re.escape(line.rstrip()) + r"[ ]*\n" for line in command.output)
        assert re.fullmatch(wanted, result.stdout, re.DOTALL), said
    return result.stdout


def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the place where a page is read: the examples are there, and nothing else."""
    (folder / "studies").mkdir()
    (folder / "studies" / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name, marks=[pytest.mark.long] if page.name in LONG else []) for page in PAGES],
)
def test_what_a_page_says_to_do_can_be_done(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom: files are written, commands run, Python executed."""
    place(tmp_path, monkeypatch)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in blocks(page):
        if block.file:
            assert not Path(block.file).exists(), f"{page.name}:{block.line}: {block.file} is written twice"
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
        for command in commands(block):
            if not command.needs_real_trace and (HAS_REPORT or not command.needs_report):
                run_command(command)


@pytest.mark.skipif(not HAS_REPORT, reason="plotly is not installed")
def test_what_the_readme_says_of_a_pipeline_and_a_log_of_ones_own_can_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder with an access log of 40 s; images need Chromium."""
    monkeypatch.chdir(tmp_path)
    lines = [f'h - - [05/Jan/2026:10:00:{second:02} +0100] "GET / HTTP/1.1" 200 5\n' for second in range(40)]
    Path("access.log").write_text("".join(lines * 3))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Your own pipeline and log\n")[2].partition("\n## ")[0]
    Path("section.md").write_text(section)
    for block in blocks(Path("section.md")):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(block.text, {})
        for command in commands(block):
            if "--static" not in command.words:
                run_command(command)
    assert Path("report.html").is_file()


SHORTER = {
    ("study", "paper"): ("--pipeline", "video", "--seeds", "1"),
    ("sweep", "video", "--vary", "policy.alpha=0.1:10:log"): ("--points", "8", "--seeds", "1"),
    ("tune",): ("--trials", "20", "--windows", "4"),
    ("live", "run"): ("--duration", "10"),
    ("validate",): ("--duration", "20", "--calibration-window", "90:110", "--repeats", "1"),
}
"""What makes a command of these pages last seconds instead of minutes."""

NOT_RUN = (
    ("live (up|status|down) |--backend kubernetes", "a cluster", "live/kubernetes/test_docs_on_cluster.py"),
    (r"examples\.chat |small\.yaml", "language models", "studies/examples/test_chat.py"),
    ("s3://", "an S3 store", "live/kubernetes/test_shelf.py"),
    (
        r"examples\.ocr |models |models/|heavy.yaml",
        "the OCR models",
        "studies/examples/test_ocr_program.py",
    ),
    ("profile run double|--server http", "a server", "studies/profiling/test_run.py"),
    ("trace from-prometheus", "a Prometheus server", "studies/commands/test_from_prometheus.py"),
    ("dask", "a scheduler and workers", "studies/many/test_dask.py"),
    ("--static|tests.studies.browser", "Chromium", "studies/commands/test_static.py"),
    ("predictor .*(twitter-2018|azure)", "traces of others, and Keras for an hour", "studies/predictor/test_train.py"),
    ("predictor train|mine.npz", "minutes of training", "studies/predictor/test_train.py"),
    ("convert archiveteam", "an archive of others", "traces/test_twitter_stream.py"),
    ("pipeline new mine.yaml --from b1", "measured tables", "studies/commands/test_pipeline.py"),
    ("predictor=lstm", "minutes of networks", "policies/test_predictors.py"),
    ("--set records=LEVEL", "a level in place of its name", "sim/test_streaming.py"),
    ("study loads", "hours", "studies/study/test_loads.py"),
    ("study studies/examples/guards", "minutes", "test_docs.py"),
    ("tests.studies.live_policies", "hours", "studies/live_policies/test_tables.py"),
    ("ipa explore", "somebody who ends it", "studies/explore/test_server.py"),
    ("tests.live.chaos", "minutes", "live/chaos/test_chaos.py"),
    ("^(?!start).*: ipa validate", "minutes for each; that of start.md is run", "test_docs.py"),
)
"""Commands that are not run here, what they need, and the test in `tests/` that runs their like."""

FIRST = (ROOT / "README.md", DOCS / "start.md", DOCS / "how-to.md")
"""The pages whose fenced commands are run here too, in order with the others."""


def reader_commands(page: Path) -> list[tuple[int, tuple[str, ...]]]:
    """The lines and words of a page's commands of ours, fenced only on the first pages."""
    found = [(line, words) for line, words in shell_commands(page) if words[:1] in (("ipa",), ("python",))]
    if page in FIRST:
        found += [(command.line, command.words) for block in blocks(page) for command in commands(block)]
    return sorted(found)


def why_not(page: Path, words: Collection[str]) -> tuple[str, str, str] | None:
    """The row of `NOT_RUN` that says why a command is not run."""
    said = f"{page.name}: {' '.join(words)}"
    return next((row for row in NOT_RUN if re.search(row[0], said)), None)


@pytest.mark.long
@pytest.mark.skipif(not HAS_REPORT, reason="plotly is not installed")
@pytest.mark.parametrize(
    "page",
    [page for page in LINKED if any(why_not(page, words) is None for _, words in reader_commands(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_a_reader_is_told_can_be_done(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command, from top to bottom, with a log, served requests, a pipeline and a policy of one's own."""
    place(tmp_path, monkeypatch)
    if REAL_TRACE:
        monkeypatch.setenv("IPA_TRACE", str(Path(REAL_TRACE).resolve()))
    lines = [f'h - - [05/Jan/2026:10:{at // 60:02}:{at % 60:02} +0100] "GET / HTTP/1.1" 200 5\n' for at in range(1300)]
    Path("access.log").write_text("".join(lines * 3))
    for name, rate_rps in (("light", 0.5), ("heavy", 8.0)):
        served_requests(Path(f"{name}.csv"), rate_rps)
    Path("my_policy.py").write_text((EXAMPLES / "my_policy.py").read_text(encoding="utf-8"), encoding="utf-8")
    for block in blocks(page):
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")
    for line, words in reader_commands(page):
        command = Command(words, None, line)
        if why_not(page, words) or (command.needs_real_trace and not REAL_TRACE):
            continue
        if words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True, stdout=subprocess.DEVNULL)
            continue
        shorter = next((more for begin, more in SHORTER.items() if words[1:][: len(begin)] == begin), ())
        run_command(replace(command, words=(*words, *shorter)))


@pytest.mark.parametrize("row", NOT_RUN, ids=lambda row: row[0])
def test_what_is_not_run_is_on_a_page_and_has_its_like_in_another_test(row: tuple[str, str, str]) -> None:
    assert any(why_not(page, words) == row for page in LINKED for _, words in reader_commands(page))
    assert (ROOT / "tests" / row[2]).is_file()


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_there_with_its_options(page: Path) -> None:
    """Also of those that need a cluster, a real trace or half an hour, which no test runs."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line, words in shell_commands(page):
        where = f"{page.name}:{line}: {' '.join(words)}"
        match words:
            case ("make", target, *_):
                assert target in targets, where
            case ("python", "-m", module, *_):
                assert find_spec(module) is not None, where
            case ("python", file, *_) if file.endswith(".py"):
                assert (ROOT / file).is_file(), where
            case ("ipa", *rest):
                command: click.Command = main
                while isinstance(command, click.Group) and not rest[0].startswith("-"):
                    below = command.get_command(click.Context(command), rest.pop(0))
                    assert below is not None, where
                    command = below
                try:
                    command.make_parser(click.Context(command)).parse_args(list(rest))
                except click.UsageError as error:
                    pytest.fail(f"{where}: {error.message}")


@needs_real_trace
@pytest.mark.parametrize(
    "command",
    [command for _, command in all_commands() if command.needs_real_trace],
    ids=lambda command: " ".join(command.words),
)
def test_a_command_on_the_real_trace_runs(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPA_TRACE", str(Path(REAL_TRACE).resolve()))
    place(tmp_path, monkeypatch)
    run_command(command)


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    kinds = {block.language for page in PAGES for block in blocks(page)}
    assert kinds <= {"sh", "console", "python", "yaml", "csv", "json"}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(((?!https:)[^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _, at = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}"
        if at:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert at in map(anchor, headings), f"{page.name}: {link}"


def test_the_map_names_every_page() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name == "README.md" or f"]({page.relative_to(DOCS)})" in text


# ---- the site ----


def test_pages_are_short() -> None:
    """In words all together, in lines each; `python -m tests.programs.page_sizes` prints them."""
    assert page_sizes.problems(page_sizes.sizes()) == []


def test_llms_txt_names_every_page_once() -> None:
    lines = runpy.run_path(str(DOCS / "conf.py"))["llms"]().splitlines()
    named_pages = [Path(match[1]) for line in lines if (match := re.match(r"- \[[^]]+\]\((.+)\.html\): \S", line))]
    pages = [page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md")]
    assert sorted(named_pages) == sorted(page for page in pages if page != Path("README"))


def test_each_of_ten_tasks_is_a_screen_from_the_first_page() -> None:
    tasks = table_rows("README.md", "IPA pipelines", "| I want to | go to |")
    assert len(tasks) == 10
    for task, answer in tasks:
        match = re.fullmatch(r"\[[^]]+\]\((.+\.md)#(.+)\)", answer)
        assert match, task
        text = (DOCS / match[1]).read_text(encoding="utf-8")
        sections = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)[1:]
        by_anchor = {anchor(heading): body for heading, body in zip(sections[::2], sections[1::2], strict=True)}
        screen = by_anchor[match[2]].splitlines()
        assert len(screen) < 40, task
        assert any(re.match(r"( {4})?(ipa|make) ", line) for line in screen), task


# ---- pages to look up ----


@pytest.mark.parametrize("name", ["keys.md", "columns.md", "parameters.md"])
def test_a_page_to_look_up_says_what_each_thing_means(name: str) -> None:
    plain = r"^(pinned|pinned_s|value|seconds|why|mean|p99|throughput|from|values)$"
    lines = lookup_pages.pages()[name].splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| `")]
    assert len(rows) > 100
    assert [row[0] for row in rows if not row[-1].strip() and not re.search(plain, named(row[0].strip()))] == []


# ---- results ----


@pytest.fixture(scope="module")
def short_run() -> Run:
    return simulate(Scenario(pipeline="video", trace="constant:5:30"))


@pytest.fixture(scope="module")
def sampled_run() -> Run:
    return simulate(Scenario(pipeline="video", trace="constant:5:30", records="sample"))


@pytest.fixture(scope="module")
def sampled_graph() -> Run:
    return simulate(Scenario(pipeline="traffic", trace="constant:5:30", records="sample"))


@pytest.mark.parametrize("name", [*TABLES, *COUNTED])
def test_every_column_is_declared(sampled_run: Run, name: str) -> None:
    of_graphs = ["answered"] if name == "intervals" else []
    assert without_language_models(COLUMNS[name]) == [*sampled_run.tables[name].columns, *of_graphs]


def test_every_column_of_a_graph_is_declared(sampled_graph: Run) -> None:
    for name, table in sampled_graph.tables.items():
        assert without_language_models(COLUMNS[name]) == list(table.columns), name


def without_language_models(columns: Iterable[str]) -> list[str]:
    """Those that are not of language models alone."""
    return [name for name in columns if name not in ("input_tokens", "output_tokens", "first_token_s", "reason")]


@pytest.mark.parametrize(("pipeline", "name"), [("chat", "requests"), ("chat", "stages"), ("helpdesk", "items")])
def test_every_column_of_language_models_is_declared(pipeline: str, name: str) -> None:
    table = simulate(Scenario(pipeline=pipeline, trace="constant:1:30", records="sample")).tables[name]
    assert list(COLUMNS[name]) == list(table.columns)


def test_every_key_of_the_summary_is_declared(short_run: Run) -> None:
    of_language_models = {"ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "tpot_p99_s", "gpus_mean"}
    assert [key for key in SUMMARY if key not in of_language_models] == list(short_run.summary)
    chat = simulate(Scenario(pipeline="chat", trace="constant:1:30"))
    assert list(SUMMARY) == list(chat.summary)


def test_every_file_is_documented_and_every_key_of_the_manifest_declared(
    short_run: Run, sampled_run: Run, tmp_path: Path
) -> None:
    for run, name in ((short_run, "run"), (sampled_run, "sampled")):
        results.write_run(run, tmp_path / name)
    text = "".join("|".join(row) for row in table_rows("scenarios.md", "Results", "| file |"))
    written = {path.name for name in ("run", "sampled") for path in (tmp_path / name).iterdir()}
    assert set(re.findall(r"`([a-z]+\.[a-z.]+)`", text)) == {
        *written,
        "items.parquet",
        "load.parquet",
    }
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert list(MANIFEST) == list(manifest)


# ---- policies, pipelines, traces ----


def test_every_policy_is_documented() -> None:
    rows = table_rows("policies.md", "Policies", "| policy |")
    named_first = {named(row[0]).partition(":")[0] for row in rows}
    assert named_first == {*POLICIES, "my.py"}


def test_the_pipeline_shown_is_the_one_shipped() -> None:
    (shown_file,) = (block for block in blocks(DOCS / "pipelines.md") if block.file == "tickets.yaml")
    assert shown_file.text == (EXAMPLES / "tickets.yaml").read_text(encoding="utf-8")


SHIPPED = ("video", "audio-qa", "audio-sent", "sum-qa", "nlp")


def test_the_shipped_pipelines_and_their_slas() -> None:
    rows = table_rows("pipelines.md", "The shipped pipelines", "| pipeline | requests pass |")
    assert [(named(row[0]), row[2]) for row in rows] == [(name, sla_sum(profiles.load(name))) for name in SHIPPED]
    shipped = map(profiles.load, profiles.names())
    assert set(SHIPPED) == {p.name for p in shipped if p.graph is None and not p.has_language_models}
    others = set(profiles.names()) - set(SHIPPED)
    assert others <= set(re.findall(r"`([a-z-]+)`", (DOCS / "pipelines.md").read_text(encoding="utf-8")))


def test_the_provenance_of_the_shipped_pipelines() -> None:
    rows = table_rows("pipelines.md", "Where the numbers come from", "| pipeline | numbers |")
    for name, row in zip(SHIPPED, rows, strict=True):
        found = counts(profiles.load(name), profiles.load(name).stages)
        assert [named(row[0]), *row[1:]] == [name, str(sum(found.values())), *map(str, found.values())]


def test_every_kind_of_provenance_and_its_mark_is_documented() -> None:
    rows = table_rows("pipelines.md", "Provenance", "| kind | says |")
    assert sorted(named(row[0]) for row in rows) == sorted(MARKS)
    text = (DOCS / "pipelines.md").read_text(encoding="utf-8")
    assert all(re.search(rf"{mark.sign}\s{kind}", text) for kind, mark in MARKS.items())


def workload_rows() -> list[list[str]]:
    return [row[:4] for row in table_rows("traces.md", "The published workloads", "| name |")]


def check_workload(row: list[str], real: Path | None) -> None:
    figures = traces.info(traces.find(named(row[0]), seed=1, real=real))
    extent = f"{figures['min_rps']}-{figures['max_rps']}"
    assert row[1:] == [str(figures["requests"]), f"{figures['mean_rps']:.1f}", extent]


def test_the_figures_of_the_synthetic_workloads() -> None:
    synthetic = [row for row in workload_rows() if "twitter:" not in row[0]]
    assert [named(row[0]) for row in synthetic] == list(traces.NAMES)
    for row in synthetic:
        check_workload(row, None)


@pytest.mark.long
@needs_real_trace
def test_the_figures_of_the_real_workloads() -> None:
    real = [row for row in workload_rows() if "twitter:" in row[0]]
    assert [named(row[0]) for row in real] == [f"twitter:{name}" for name in traces.NAMES]
    for row in real:
        check_workload(row, Path(REAL_TRACE))


def test_every_arrival_process_is_documented() -> None:
    text = (DOCS / "traces.md").read_text(encoding="utf-8")
    assert all(f"- `{process}`" in text for process in traces.PROCESSES)


# ---- examples ----


def examples(kind: str) -> list[Path]:
    files = sorted(EXAMPLES.glob("*.yaml"))
    return [
        path for path in files if read_yaml(path, kind=("pipeline", "scenario", "fleet", "study")).data["kind"] == kind
    ]


@pytest.mark.parametrize("path", examples("scenario"), ids=lambda path: path.name)
def test_an_example_scenario_runs(path: Path) -> None:
    run = simulate(load(path))
    assert run.summary["unfinished"] == 0
    assert run.summary["completed"] > 0.5 * run.summary["requests"]


@pytest.mark.parametrize("path", examples("pipeline"), ids=lambda path: path.name)
def test_an_example_pipeline_runs(path: Path) -> None:
    run = simulate(find(str(path)).with_values({"trace": "constant:2:60"}))
    assert run.summary["completed"] == run.summary["requests"] == 120


@pytest.mark.parametrize("path", examples("fleet"), ids=lambda path: path.name)
def test_an_example_fleet_runs_as_its_page_shows_it(path: Path) -> None:
    _, answers = answered(load_fleet(path))
    assert answers.short > 0
    shown = re.search(r"```yaml\n(.*?)```", (DOCS / "fleets.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert shown[1] in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", examples("study"), ids=lambda path: path.name)
def test_an_example_study_runs(path: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["study", str(path), "--out", str(tmp_path / "out"), "--seeds", "1", "-q"])
    assert ended.exit_code == 0, ended.output
    assert (tmp_path / "out" / "report.html").is_file()
