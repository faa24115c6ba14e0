"""The command `ipa` itself: its help, and what holds for all of its commands."""

from __future__ import annotations

import ast
import errno
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from tempfile import gettempdir

import click
import pytest

from ipa.studies.commands import main
from ipa.studies.commands.group import LazyGroup
from tests.command import contents, ipa, start

ROOT = Path(__file__).parents[3]

HEAVY = ("aiohttp", "kubernetes", "numpy", "pandas", "pydantic", "rich", "scipy", "simpy", "yaml")
"""Packages that no help loads."""


def test_no_help_loads_anything_heavy() -> None:
    """All helps in one process of its own."""
    code = f"""
import sys
from click.testing import CliRunner
from tests.command import main, whole_tree

for words, _ in list(whole_tree()):
    print(CliRunner().invoke(main, [*words.split()[1:], "--help"], catch_exceptions=False).output)
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Simulate one policy on one load." in done.stdout


def test_the_help_of_ipa_imports_no_command() -> None:
    code = """
import sys
from click.testing import CliRunner
from ipa.studies.commands import main

print(CliRunner().invoke(main, ["--help"]).output, *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Many:" in done.stdout
    loaded = {name for name in done.stdout.split() if name.startswith("ipa.studies.commands.")}
    assert loaded == {"ipa.studies.commands.group", "ipa.studies.commands.root"}


@pytest.mark.parametrize("path", sorted((ROOT / "studies" / "commands").rglob("*.py")), ids=lambda path: path.stem)
def test_no_import_stands_in_the_body_of_a_command(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    for command in (each for each in functions if each.decorator_list):
        if any("click." in ast.unparse(decorator) for decorator in command.decorator_list):
            assert not [node for node in ast.walk(command) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_the_summaries_are_the_first_sentences_of_the_commands() -> None:
    assert isinstance(main, LazyGroup)
    for name, summary in main.summaries.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.help is not None
        assert " ".join(command.help.partition("\n\n")[0].split()) == summary


@pytest.mark.parametrize("module", ["ipa", "ipa.studies"])
def test_python_runs_the_command_as_a_module(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["python -m", "optimise", "video"])
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the command leaves interrupts ignored
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("Usage: ipa optimise ")


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        pytest.param("simulate video --trace constant:5:30 -q", marks=pytest.mark.long),
        "simulate video --trace constant:5:30 --json -q",
        pytest.param("trace info bursty", marks=pytest.mark.long),
    ],
)
def test_a_reader_that_leaves_early_sees_no_traceback(own: Path, command: str) -> None:
    process = start(*command.split())
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert errors == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "simulate video --trace constant:5:30 -q",
        *(pytest.param(each, marks=pytest.mark.long) for each in ("trace info bursty", "live manifests video -q")),
    ],
)
def test_output_that_has_no_room_is_an_error_and_no_traceback(here: Path, command: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "ipa", *command.split()], stdout=full, stderr=PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        1, "Error: standard output: cannot be written: No space left on device\n"
    )  # fmt: skip


def test_a_file_without_a_name_that_has_no_room_is_not_the_output(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ipa.studies.simulate", full)
    ended = ipa("simulate", "video", "--trace", "constant:5:30", "-q")
    place = f"a file cannot be written (temporary ones are in {gettempdir()})"
    assert (ended.exit_code, ended.stderr) == (1, f"Error: {place}: No space left on device\n")


def test_output_that_is_closed_is_an_error_before_anything_runs(here: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m ipa simulate video --trace constant:5:30 --out run >&-"
    done = subprocess.run(["sh", "-c", command], stderr=PIPE, text=True)
    assert (done.returncode, done.stderr, (here / "run").exists()) == (
        1, "Error: standard output is closed; send it to a file or to /dev/null\n", False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "at", "kept"),
    [
        ("simulate video --out new", "ipa.studies.simulate", "nothing was written"),
        ("explain run", "ipa.studies.many.named_runs.runs_in", "nothing was written"),
        ("pipeline show video", "ipa.profiles.load", "nothing was written"),
        ("live run video", "ipa.studies.find", "nothing was written"),
        ("live run video --backend kubernetes", "ipa.studies.find", "what was made on a cluster until then is there: "),
        ("live run video --backend=kubernetes", "ipa.studies.find", "what was made on a cluster until then is there: "),
    ],
)
def test_an_interrupted_command_says_what_is_kept(
    own: Path, monkeypatch: pytest.MonkeyPatch, command: str, at: str, kept: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(at, interrupted)
    ended = ipa(*command.split())
    assert ended.exit_code == 1
    assert f"Error: interrupted; {kept}" in ended.stderr


def test_nothing_is_written_by_commands_that_only_print(own: Path) -> None:
    before = contents(own)
    for command in ("simulate video --trace constant:5:30", "optimise video --load 9", "trace info bursty"):
        assert ipa(*command.split()).exit_code == 0
    assert contents(own) == before


@pytest.mark.long
@pytest.mark.parametrize("module", ["msgspec", "aiohttp"])
def test_a_command_whose_extra_is_not_installed_says_which_one(module: str) -> None:
    """In a process of its own, as modules that are loaded stay loaded."""
    without = f"""
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] == {module!r} else find(name, *rest)
from ipa.studies.commands import main

for words in ("live run video --trace constant:1:2", "validate video"):
    try:
        main(words.split())
    except SystemExit as ended:
        print(ended.code)
"""
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, cwd=ROOT)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert (done.stdout.split(), len(errors)) == (["2"] * 2, 2), done.stderr
    for error in errors:
        assert f"needs {module}" in error
        assert "pip install '.[live]' in the checkout" in error


WEAKLY = """
    thing = Thing()
    reference = weakref.ref(thing, interrupted)
    del thing
    time.sleep(60)
"""
IN_EXEC = """
    exec("raise KeyboardInterrupt")
"""


@pytest.mark.parametrize("interrupt", [WEAKLY, IN_EXEC])
def test_an_interrupt_where_nothing_can_be_raised_is_not_lost(tmp_path: Path, interrupt: str) -> None:
    """In the callback of a weak reference, such as those of imports, and in an `exec`, such as those of dataclasses."""
    (tmp_path / "interrupted.py").write_text(f"""
import time
import weakref

from ipa import __main__ as program
from ipa.studies import commands

class Thing: ...

def interrupted(_):
    raise KeyboardInterrupt

def command(**_):
{interrupt}
commands.main = command
program.main()
""")
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], capture_output=True, text=True, cwd=tmp_path, timeout=50
    )
    assert (done.returncode, done.stderr) == (1, "Error: interrupted; nothing was written\n")


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("models list s3://a --s3-endpoint http://b", "is the environment variable AWS_ENDPOINT_URL"),
        ("live up video --seed 2", "is --set seed=N"),
        ("live up video --s3-endpoint http://b", "is --set models.s3_endpoint=VALUE"),
    ],
)
def test_what_takes_the_place_of_an_option_may_depend_on_the_command(command: str, instead: str) -> None:
    assert instead in ipa(*command.split()).stderr
