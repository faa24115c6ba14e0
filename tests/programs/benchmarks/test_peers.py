"""`make bench-peers` runs our engines in an environment that has the other simulators and not this package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.programs.benchmarks import peers

BARE = f"""#!{sys.executable} -S
import os, runpy, sys
sys.path[:1] = [os.getcwd()]
sys.path += {[path for path in sys.path if path.endswith("-packages")]!r}
_, _, module, *sys.argv[1:] = sys.argv
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""A Python with all packages but those that a .pth file names, as this one's is named."""


def test_our_engines_run_where_the_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    python = tmp_path / "python"
    python.write_text(BARE)
    python.chmod(0o755)
    measured = peers._run(python, "with_simpy_engine", seeds=2, scale=0.001)
    assert measured.get("name") == "our SimPy engine", measured


@pytest.mark.skipif(not peers.PYTHON.exists(), reason="`make bench-peers` has made no environment")
def test_every_simulator_of_the_environment_runs() -> None:
    table = peers.table(seeds=2, scale=0.001)
    assert {*peers.OURS, peers.YARDSTICK, "Ciw"} <= {row["simulator"] for row in table.rows}
    assert [note for note in table.notes if "FAILED" in note] == []
