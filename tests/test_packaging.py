"""What is built holds every folder under the one name `ipa`, whether from a checkout or from a source archive."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

pytest.importorskip("hatchling")
from packaging.requirements import Requirement

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
        packed.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = in_wheel(built("wheel", ROOT, tmp_path / "wheel"))
    assert in_wheel(built("wheel", unpacked, tmp_path / "again")) == wheel

    ours = {f"ipa/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    of_a_checkout = ("ipa/studies/examples/ocr/", "ipa/studies/examples/chat/")
    assert {name for name in ours if not name.startswith(of_a_checkout)} <= wheel
    assert not any(name.startswith(of_a_checkout) for name in wheel)
    assert {"ipa/__init__.py", "ipa/errors.py", "ipa/py.typed", "ipa/profiles/library/video.yaml"} <= wheel


PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def pinned(lock: str, python: str) -> set[str]:
    asked = {"python_version": python, "python_full_version": f"{python}.9"}
    locked = map(Requirement, re.findall(r"^[a-z0-9][^\\\n]*", (ROOT / lock).read_text(), re.MULTILINE))
    return {f"{each.name}{each.specifier}" for each in locked if not each.marker or each.marker.evaluate(asked)}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_demo_installs_part_of_what_is_locked_for_everything(python: str) -> None:
    demo = pinned("requirements-demo.lock", python)
    assert len(demo) > 20
    assert demo < pinned("requirements.lock", python)


@pytest.mark.long
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_can_be_installed_on_every_python(python: str, tmp_path: Path) -> None:
    """Dry, and of wheels; font-roboto, which holds no code, has none."""
    pins = [f"{pin}\n" for pin in pinned("requirements.lock", python) if not pin.startswith("font-roboto")]
    (tmp_path / "pins").write_text("".join(pins))
    dry = ["install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:"]
    there = ["--python-version", f"{python}.9", "--target", str(tmp_path), "--requirement", str(tmp_path / "pins")]
    done = subprocess.run([sys.executable, "-m", "pip", *dry, *there], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
