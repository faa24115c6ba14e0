"""What is built holds every folder under the one name `ipa`, whether from a checkout or from a source archive."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[1]
FOLDERS = ("profiles", "traces", "policies", "sim", "live", "studies")


def built(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (archive,) = target.iterdir()
    return archive


def in_wheel(wheel: Path) -> set[str]:
    return {name for name in ZipFile(wheel).namelist() if name.startswith("ipa/")}


def test_a_wheel_of_the_checkout_and_one_of_the_source_archive_hold_the_same(tmp_path: Path) -> None:
    archive = built("sdist", ROOT, tmp_path / "archive")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = in_wheel(built("wheel", ROOT, tmp_path / "wheel"))
    assert in_wheel(built("wheel", unpacked, tmp_path / "again")) == wheel

    ours = {f"ipa/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert ours <= wheel
    assert {"ipa/__init__.py", "ipa/errors.py", "ipa/py.typed", "ipa/profiles/library/video.yaml"} <= wheel
