"""What a live run of real models is served by, and what is sent to them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("PIL")

from ipa import profiles
from ipa.live import read_samples
from ipa.studies.runs.live_runs import real as real_models
from tests.ocr_wheels import needs_wheels


@needs_wheels
def test_models_in_a_folder_are_sent_pages_as_those_of_the_extra_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline that reads pages gets pages; nothing else would be answered."""
    monkeypatch.setattr(real_models, "PAGES", 2)
    with real_models.real(str(tmp_path), "", False, profiles.load("ocr"), seed=1) as found:
        assert found.models == str(tmp_path)
        assert len(read_samples(Path(found.samples))) == 2
    with real_models.real(real_models.EMULATED, "", False, profiles.load("ocr"), seed=1) as found:
        assert found == real_models.Real()
