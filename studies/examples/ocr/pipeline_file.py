"""Writes measured accuracies into a pipeline file, whose other lines stay unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ipa import profiles
from ipa.errors import InputError
from ipa.profiles import Document, read_yaml
from ipa.studies.examples.ocr.measure import Measured

SOURCE = "accuracy"
"""The provenance key of the accuracies."""
PAIRS = "pair_accuracies"
_ONE_LINE = re.compile(r"( *)accuracy: *\{.*\}( *#.*)?")


def check_into(path: Path) -> None:
    """Raise ProfileError if the file is no pipeline, InputError if its accuracies cannot be replaced."""
    profiles.load(path)
    document, lines = _read(path)
    at = document.line_of(("provenance",)) - 1
    if not re.fullmatch(r"provenance:\s*(#.*)?", lines[at]):
        raise InputError(f"{path}:{at + 1}: provenance: its entries should be on lines of their own")
    for at in _accuracy_lines(document).values():
        if not _ONE_LINE.fullmatch(lines[at]):
            raise InputError(f"{path}:{at + 1}: should be on one line: accuracy: {{value: ..., from: ...}}")


def put_into(measured: Measured, path: Path) -> str:
    """The text of a pipeline file with these accuracies in place of its own.

    Raises InputError if a variant was not measured.
    """
    document, lines = _read(path)
    for (stage, variant), at in _accuracy_lines(document).items():
        accuracy = measured.stages.get(stage, {}).get(variant)
        if accuracy is None:
            raise InputError(f"{path}:{at + 1}: {stage} {variant}: was not measured")
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        # A rule of the file: an accuracy is above 0, even for a model that reads nothing.
        lines[at] = f"{indent}accuracy: {{value: {max(accuracy, 0.0001)!r}, from: {SOURCE}}}"
    content = list(_without(document, lines))
    start = next(at for at, line in enumerate(content) if line.startswith("provenance:")) + 1
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    source = f"ipa.studies.examples.ocr measure, {measured.pages} pages of seed {measured.seed}; {versions}"
    content[start:start] = [f'  {SOURCE}: {{kind: measured, source: "{source}"}}']
    rows = [
        f"    {first}: {{{', '.join(f'{second}: {accuracy!r}' for second, accuracy in row.items())}}}"
        for first, row in measured.pairs.items()
    ]
    text = "\n".join([*content, "", f"{PAIRS}:", f"  from: {SOURCE}", "  values:", *rows]) + "\n"
    with TemporaryDirectory() as folder:
        tried = Path(folder, path.name)
        tried.write_text(text, encoding="utf-8")
        profiles.load(tried)
    return text


def _read(path: Path) -> tuple[Document, list[str]]:
    return read_yaml(path, kind="pipeline"), path.read_text(encoding="utf-8").splitlines()


def _accuracy_lines(document: Document) -> dict[tuple[str, str], int]:
    """(stage, variant) -> the index of its accuracy's line."""
    return {
        (stage["name"], variant["name"]): document.line_of(("stages", s, "variants", v, "accuracy")) - 1
        for s, stage in enumerate(document.data["stages"])
        for v, variant in enumerate(stage["variants"])
    }


def _without(document: Document, lines: list[str]) -> Iterator[str]:
    """The lines without earlier accuracies of pairs, and without provenance entries that are no longer used."""
    tops = sorted(line for loc, line in document.lines.items() if len(loc) == 1)
    dropped: set[int] = set()
    if PAIRS in document.data:
        first = document.line_of((PAIRS,))
        dropped |= set(range(first, next((line for line in tops if line > first), len(lines) + 1)))
    entries = {key: document.line_of(("provenance", key)) for key in document.data["provenance"]}
    rest = "\n".join(line for number, line in enumerate(lines, 1) if number not in {*dropped, *entries.values()})
    ends = sorted([*entries.values(), *tops, len(lines) + 1])
    for key, first in entries.items():
        if key == SOURCE or not re.search(rf"[:{{ ]{re.escape(key)}[,}}\s]", rest + "\n"):
            dropped |= set(range(first, next(line for line in ends if line > first)))
    remaining = [line for number, line in enumerate(lines, 1) if number not in dropped]
    while remaining and not remaining[-1].strip():
        remaining.pop()
    yield from remaining
