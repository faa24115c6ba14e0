"""A folder of files to send, each as one request, and what the answer to each should be.

Its `labels.jsonl` has one line for each file: `{"file": "0001.jpg", "answer": "what it says"}`; the answer may be left
out, and further keys are somebody else's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ipa.live.errors import LiveError

LABELS = "labels.jsonl"


@dataclass(frozen=True)
class Sample:
    """A file, and the answer that it should get; None: nobody said."""

    path: Path
    answer: str | None


def read_samples(folder: Path) -> list[Sample]:
    """The samples of a folder, in the order of its labels. Raises LiveError, with file and line, for wrong ones."""
    labels = folder / LABELS
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LiveError(f"{labels}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LiveError(f"{labels}: not a text file (UTF-8)") from None
    samples = [_sample(folder, f"{labels}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    if not samples:
        raise LiveError(f"{labels}: names no file")
    return samples


def _sample(folder: Path, place: str, line: str) -> Sample:
    try:
        label = json.loads(line)
    except ValueError as error:
        raise LiveError(f"{place}: is not JSON: {error}") from None
    name = label.get("file") if isinstance(label, dict) else None
    answer = label.get("answer") if isinstance(label, dict) else None
    if not isinstance(name, str) or not isinstance(answer, str | None):
        raise LiveError(f'{place}: should be like {{"file": "0001.jpg", "answer": "what it says"}}')
    if not (folder / name).is_file():
        raise LiveError(f"{place}: file: {name}: there is no such file in {folder}")
    return Sample(folder / name, answer)
