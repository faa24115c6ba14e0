"""Where the tests of the commands run: an empty folder, or one with a user's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import PIPELINE, POLICIES, SHORT, ipa


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no real trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPA_TRACE", raising=False)
    return tmp_path


@pytest.fixture
def own(here: Path) -> Path:
    """A user's files: a policy, a pipeline, a journal, results."""
    (here / "my.py").write_text(POLICIES)
    (here / "mine.yaml").write_text(PIPELINE)
    assert ipa("simulate", "video", *SHORT, "--out", "run").exit_code == 0
    return here
