"""Which files a run was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.studies import Scenario
from ipa.studies.runs.inputs import names_in


@pytest.mark.parametrize(
    ("policy", "files"),
    [
        ("ipa", []),
        ("my.py:Hold", ["my.py"]),
        ("my.py:Hold level=2", ["my.py"]),
        ("ipa predictor=seen.py:Seen", ["seen.py"]),
        ("my.py:Hold predictor={name: seen.py:Seen, window_s: 3}", ["my.py", "seen.py"]),
    ],
)
def test_a_policys_files_are_found_in_its_name_and_in_the_parameters_behind_it(
    policy: str, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my.py", "seen.py"):
        Path(name).write_text(name)
    scenario = Scenario.model_validate({"pipeline": "video", "policy": policy})
    assert sorted(names_in(scenario)) == files
