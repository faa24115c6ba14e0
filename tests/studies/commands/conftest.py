"""Where the tests of the commands run: an empty folder, or one with a user's files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.command import PIPELINE, POLICIES, SHORT, ipa


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no real trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPA_TRACE", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a short run, to be copied."""
    folder = tmp_path_factory.mktemp("results") / "run"
    assert ipa("simulate", "video", *SHORT, "--out", folder).exit_code == 0
    return folder


@pytest.fixture
def own(here: Path, results: Path) -> Path:
    """A user's files: a policy, a pipeline, a journal, results."""
    (here / "my.py").write_text(POLICIES)
    (here / "mine.yaml").write_text(PIPELINE)
    shutil.copytree(results, here / "run")
    return here
