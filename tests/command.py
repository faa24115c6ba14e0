"""Running the command `ipa` in tests: in this process where that will do, in one of its own where it must be."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from ipa.studies.commands import main

SHORT = ("--trace", "constant:5:30")
"""A load of 150 requests in 30 s, three decisions."""

SUMMARY_NAMES = [
    *("pipeline", "policy", "trace", "seed", "engine", "duration_s"),
    *("requests", "completed", "dropped", "failed", "unfinished"),
    *("sla_s", "sla_violation_rate", "goodput_rps"),
    *("latency_mean_s", "latency_p50_s", "latency_p95_s", "latency_p99_s"),
    *("cost_mean_cores", "cost_core_s", "pas_mean", "planned_cost_mean_cores", "planned_pas_mean"),
    *("decisions", "infeasible_decisions", "changes", "wall_s"),
]
"""The names in the summary of a run that stay as they are."""

PIPELINE = """\
schema_version: 1
kind: pipeline
name: mine
description: One stage.
provenance:
  guess: {kind: assumed, why: for a test}
stages:
  - name: sort
    task: sorts
    accuracy_metric: share
    threshold_rps: 1
    sla: {pinned_s: 2, why: for a test}
    variants:
      - name: small
        accuracy: {value: 0.8, from: guess}
        start_up: {seconds: 8, from: guess}
        base_cores: {pinned: 1, why: for a test}
        figures:
          - {cores: 1, batch: 1, mean_s: 0.1, p99_s: 0.1, throughput_rps: 10, from: guess}
          - {cores: 1, batch: 2, mean_s: 0.15, p99_s: 0.15, throughput_rps: 12, from: guess}
          - {cores: 1, batch: 4, mean_s: 0.3, p99_s: 0.3, throughput_rps: 13, from: guess}
published:
  {alpha: 1, beta: 1, gamma: 1e-6, accuracy: product, accuracy_scale: raw, accuracy_floor: 0, batch_cap: 4, \
load_margin: 0, throughput_share: 1, scale_only: {}, switch_only_replicas: {sort: 2}}
"""
"""A user's pipeline file."""

POLICIES = '''
from dataclasses import replace
from ipa.policies import Decision, PolicyError


class Hold:
    """Keeps what stands."""

    def __init__(self, pipeline, level=1):
        self.level = level

    def decide(self, observation, memory):
        return Decision(configuration=observation.configuration, memory={})
'''
"""A user's file with the policy `Hold`, to append to."""


MANY_RUNS = ("compare", "explain", "study", "sweep", "tune")
"""Commands that take `--jobs`."""


def ipa(*args: object, env: dict[str, str] | None = None) -> Result:
    """The command's result; an exception that it does not answer itself is raised.

    Many runs have one process unless it says otherwise: forking the process of the tests is slow.
    """
    one_process = ("--jobs", 1) if args[0] in MANY_RUNS and "--jobs" not in args else ()
    return CliRunner().invoke(main, list(map(str, (*args, *one_process))), env=env, catch_exceptions=False)


def answer(*args: object, env: dict[str, str] | None = None) -> Any:
    """What the command prints as JSON; it has to succeed and to print nothing on stderr but how far a slow run is."""
    result = ipa(*args, env=env)
    told = [line for line in result.stderr.splitlines() if not re.match(r"(simulated|runs): .* after \d", line)]
    assert (result.exit_code, told) == (0, [])
    return json.loads(result.stdout)


def refusal(*args: object, env: dict[str, str] | None = None) -> str:
    """The message of a command that is answered with exit code 2, nothing on stdout, and nothing written here."""
    before = stamps(Path())
    result = ipa(*args, env=env)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert sum(line.startswith("Error: ") for line in result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert stamps(Path()) == before
    return result.stderr.partition("Error: ")[2].strip()


def is_refused(command: str, texts: Sequence[str]) -> None:
    """Check that a command line is refused with all of these texts."""
    message = refusal(*command.split(" "))
    for text in texts:
        assert text in message
    assert "Value error" not in message


def start(*args: object, **options: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, its output in pipes; Ctrl-C reaches it, however the tests were started."""
    command = [sys.executable, "-m", "ipa", *map(str, args)]
    with interruptible():
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@contextmanager
def interruptible() -> Iterator[None]:
    """Processes started within it begin with the default actions of SIGINT and SIGHUP, as from a terminal.

    A process inherits an ignored signal, and `ipa` leaves ignored what it finds ignored: whoever starts it with
    `nohup ipa study paper &` in a script wants it to outlive Ctrl-C. Tests that interrupt it must not inherit that from
    their own start. A handler, unlike an ignored signal, does not survive exec, so one is in place meanwhile.
    """
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def every_command(group: click.Command = main, path: str = "ipa") -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, with the words that call it."""
    for each, command in whole_tree(group, path):
        if not isinstance(command, click.Group):
            yield each, command


def whole_tree(command: click.Command = main, path: str = "ipa") -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from whole_tree(below, f"{path} {name}")


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, every folder with None; what Python has compiled counts for nothing."""
    found: dict[str, bytes | None] = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        below = Path(place).relative_to(folder)
        found |= {str(below / name): None for name in folders}
        found |= {str(below / name): Path(place, name).read_bytes() for name in files}
    return dict(sorted(found.items()))


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder, hidden ones and what is built left out.

    Quick in a checkout with its environments too, of which `contents` would read gigabytes.
    """
    found: dict[str, tuple[int, int]] = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("__pycache__", "build")]
        for name in files:
            said = Path(place, name).lstat()
            found[str(Path(place, name))] = (said.st_size, said.st_mtime_ns)
    return found


def tables(folder: Path) -> dict[str, bytes]:
    """What a results folder holds but for the manifests, which say when and how long, the lock, and the store."""
    return {
        name: content
        for name, content in contents(folder).items()
        if content is not None and not name.endswith(("manifest.json", ".lock", ".sqlite"))
    }


def kept_files(folder: Path) -> dict[tuple[str, int], dict[str, bytes]]:
    """The files of each finished run of a comparison, but for its manifest, by policy and seed."""
    from ipa.studies.many import opened  # loads what no help may

    plan = json.loads((folder / "manifest.json").read_text())["runs"]
    with opened(folder / "finished.sqlite") as store:
        there = store.summaries([run["key"] for run in plan])
        outcomes = {(run["policy"], run["seed"]): store.outcome(run["key"]) for run in plan if run["key"] in there}
    return {
        name: {file: content for file, content in outcome.files.items() if file != "manifest.json"}
        for name, outcome in outcomes.items()
    }
