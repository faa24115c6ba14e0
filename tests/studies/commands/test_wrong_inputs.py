"""Wrong inputs of every command, from the tables in `wrong`: each is answered with its place, and leaves nothing.

A row is run in a folder with a user's files and results (`FILES`, `run`, `both`, `studied`).
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ipa.policies import TimeLimit
from tests.command import contents, ipa

pytest.importorskip("plotly")
from tests.studies.commands.wrong.commands import LISTS, MODELS, SHIPPED
from tests.studies.commands.wrong.live import LIVE
from tests.studies.commands.wrong.loads import TRACES
from tests.studies.commands.wrong.many_runs import MANY, STUDIES
from tests.studies.commands.wrong.pipelines import PIPELINES
from tests.studies.commands.wrong.policies import ANSWERS, POLICY_ROWS, PREDICTORS
from tests.studies.commands.wrong.results import FULL, OUTPUTS, RESULTS_ROWS, WRITES
from tests.studies.commands.wrong.rows import FILES, RUN, Wrong
from tests.studies.commands.wrong.scenarios import KEYS, SCENARIOS

RESULTS = (
    "simulate scenario.yaml --out run",
    "compare scenario.yaml --policy ipa --policy static:2 --jobs 1 --out both",
    "study study.yaml --seeds 1 --jobs 1 --out studied",
)
COMPARED = "compare scenario.yaml --policy ipa --policy rate -q --out new"
NO_CLUSTER = {"KUBECONFIG": "/nonexistent/kubeconfig", "HOME": "/nonexistent"}
NOBODY = 65534

ROWS = [
    *(*TRACES, *SCENARIOS, *PIPELINES, *POLICY_ROWS, *ANSWERS, *PREDICTORS, *LISTS, *STUDIES, *OUTPUTS),
    *(*RESULTS_ROWS, *LIVE, *SHIPPED, *MANY, *MODELS, *KEYS),
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's files and results."""
    folder = tmp_path_factory.mktemp("kept")
    put(folder, FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in RESULTS:
            assert ipa(*command.split()).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def whole(kept: Path) -> dict[str, bytes | None]:
    """What is in it."""
    return contents(kept)


@pytest.fixture
def there(kept: Path, whole: dict[str, bytes | None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """It is the current folder; what a test changes there is changed back."""
    monkeypatch.chdir(kept)
    yield kept
    now = contents(kept)
    for name in sorted(now.keys() - whole.keys(), reverse=True):  # a folder after what is in it
        (kept / name).rmdir() if now[name] is None else (kept / name).unlink()
    put(kept, {name: content for name, content in whole.items() if content is not None and now.get(name) != content})


def put(folder: Path, files: Mapping[str, str | bytes | None]) -> None:
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def check(folder: Path, row: Wrong) -> None:
    """The row's command ends as it has to, says the place, and leaves the folder as it was."""
    before = contents(folder)
    result = ipa(*shlex.split(row.command), env=NO_CLUSTER)
    assert (result.exit_code, bool(result.stdout)) == (row.code, bool(row.printed)), result.output
    assert row.printed in result.stdout
    assert not re.search("^(Results|Report): ", result.stdout, re.MULTILINE)
    for text in (row.said,) if isinstance(row.said, str) else row.said:
        assert text in result.stderr
    assert sum(line.startswith("Error: ") for line in result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert contents(folder) == before


def named(row: Wrong) -> str:
    return row.command.removeprefix(RUN).strip()


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_wrong_input_is_answered_with_its_place_and_changes_nothing(
    there: Path, monkeypatch: pytest.MonkeyPatch, row: Wrong
) -> None:
    if "no decision within" in row.said:
        for module in ("run", "decision"):
            monkeypatch.setattr(f"ipa.studies.runs.{module}.TimeLimit", lambda policy: TimeLimit(policy, 0.05))
    put(there, row.files)
    check(there, row)


@contextmanager
def nobody() -> Iterator[None]:
    """This process as a user to whom nothing belongs, where it may become one; otherwise it is none that may do all."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture(scope="module")
def readable(kept: Path) -> Iterator[Path]:
    """A folder with the same which everybody may reach and read and nobody may write to."""
    with TemporaryDirectory() as folder:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        every = [Path(folder), *Path(folder).rglob("*")]
        for path in every:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield Path(folder)
        for path in every:
            path.chmod(0o755)


@pytest.fixture
def public(readable: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It is the current folder."""
    monkeypatch.chdir(readable)
    return readable


@pytest.mark.parametrize("row", WRITES, ids=named)
def test_a_folder_that_another_user_may_only_read_is_named_and_stays_as_it_is(public: Path, row: Wrong) -> None:
    with nobody():
        check(public, row)


@pytest.fixture(scope="module")
def filled(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the same on a file system of its own without a free byte; skipped where none can be mounted."""
    folder = tmp_path_factory.mktemp("full")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a full file system needs leave to mount one: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def full(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It is the current folder."""
    monkeypatch.chdir(filled)
    return filled


@pytest.mark.parametrize("row", FULL, ids=named)
def test_a_full_file_system_is_named_and_nothing_is_left_on_it(full: Path, row: Wrong) -> None:
    """Really full, where the other test has files that grow too large."""
    check(full, row._replace(said=(str(row.said), "o space left on device")))


def test_a_comparison_that_cannot_even_begin_on_a_full_file_system_leaves_no_folder(full: Path) -> None:
    check(full, Wrong(f"{COMPARED} --jobs 1", "new/finished.sqlite: database or disk is full"))


@contextmanager
def room(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond this, as on a disk that is all but full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("row", FULL, ids=named)
def test_what_a_disk_has_no_room_for_is_named_and_nothing_is_left_of_it(there: Path, row: Wrong) -> None:
    with room(500):
        check(there, row._replace(said=(str(row.said), "File too large")))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_comparison_without_room_for_a_run_names_it_and_goes_on_when_there_is_some(there: Path, jobs: int) -> None:
    """What stays is what the same command goes on from."""
    command = f"{COMPARED} --jobs {jobs}".split()
    with room(500):
        result = ipa(*command)
    assert result.exit_code == 2
    assert result.stderr == "Error: new/finished.sqlite: disk I/O error\n"
    assert ipa(*command).exit_code == 0
    assert {"finished.sqlite", "runs.parquet"} <= set(contents(there / "new"))
