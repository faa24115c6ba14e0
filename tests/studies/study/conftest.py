"""The folder that the tests of a user's study run in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import PIPELINE
from tests.studies.study.mine import STUDY


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study and its pipeline, and no real trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPA_TRACE", raising=False)
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path
