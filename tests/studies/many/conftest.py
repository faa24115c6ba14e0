"""What the tests of sweeps on clusters and under kills stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import ipa
from tests.studies.many.waiting import POLICY, command


@pytest.fixture
def here(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("IPA_TRACE", raising=False)
    (elsewhere / "my.py").write_text(POLICY)
    return elsewhere


@pytest.fixture
def whole(here: Path) -> bytes:
    """The table of the same sweep in one process."""
    (here / "go").touch()
    assert ipa(*command(here, "one", "--jobs", 1)).exit_code == 1
    (here / "go").unlink()
    return (here / "one" / "runs.parquet").read_bytes()
