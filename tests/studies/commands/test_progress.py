"""Progress and warnings: on stderr, and only where they are wanted."""

from __future__ import annotations

import json
import os
import re

import pytest

from ipa.studies.commands import progress
from tests.command import SHORT, ipa, start


def test_where_stderr_is_no_terminal_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """A run every 4 s: the third, sixth, ninth and so on is the first 10 s after a line; of the last one is none."""
    now_s = 0.0
    done = progress.Lines("runs", 12, lambda: now_s)
    for _ in range(12):
        now_s += 4.0
        done()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "runs: 3 of 12 after 12 s, 9 left",
        "runs: 6 of 12 after 24 s, 6 left",
        "runs: 9 of 12 after 36 s, 3 left",
    ]


@pytest.mark.parametrize(("option", "told"), [((), r"runs: 1 of 2 after \d+ s, 1 left\n"), (("-q",), "")])
def test_progress_leaves_stdout_alone_and_can_be_left_out(
    option: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    result = ipa("compare", "video", "--policy", "ipa", *SHORT, "--seeds", 2, "--json", *option)
    assert [each["seed"] for each in json.loads(result.stdout)] == [1, 2]
    assert re.fullmatch(told, result.stderr)


def test_progress_and_warnings_go_to_stderr_in_a_process_too() -> None:
    command = (
        "compare",
        "video",
        "--policy",
        "static",
        "--trace",
        "constant:100:20",
        "--seeds",
        2,
        "--jobs",
        2,
        "--json",
        "--quiet",
    )
    process = start(*command, env={**os.environ, "FORCE_COLOR": "1"})
    output, errors = process.communicate(timeout=60)
    assert [each["seed"] for each in json.loads(output)] == [1, 2]
    assert errors.startswith("Warning: static: ")
    assert "% of the requests in the worst of 2 seeds were dropped" in errors
    assert len(errors.splitlines()) == 1
