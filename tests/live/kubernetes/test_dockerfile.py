"""The Dockerfile, as far as it can be known unbuilt: all that it copies is there, what it installs is locked."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path

from ipa.live.kubernetes import manifest_parts
from tests.live.kubernetes import pack

ROOT = Path(__file__).parents[3]
FILE = ROOT / "live/kubernetes/Dockerfile"
LOCK = ROOT / "requirements-image.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def steps() -> list[tuple[str, str]]:
    """The instructions, each with its argument, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", FILE.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def arguments(instruction: str) -> list[str]:
    return [argument for name, argument in steps() if name == instruction]


def locked(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> version with its condition, and hashes."""
    found = re.findall(
        r"^(\S+)==(.*?) \\\n((?: +--hash=\S+(?: \\)?\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {
        f"{name} {pin}": (pin, frozenset(re.findall(r"sha256:[0-9a-f]{64}", hashes))) for name, pin, hashes in found
    }


def test_what_is_copied_is_there() -> None:
    copied = [each.split()[:-1] for each in arguments("COPY") if not each.startswith("--from")]
    for source in (name for names in copied for name in names):
        assert list(ROOT.glob(source)), source


def test_all_that_the_package_is_made_of_is_copied_before_it_is_installed() -> None:
    copied = {name for each in arguments("COPY") for name in each.split()[:-1]}
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    needed = {"src/ipa/*.py*" if name.startswith("src/ipa/") else name for name in wheel}
    assert needed | {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= copied


def test_every_installation_is_by_the_lock_or_without_any_dependency() -> None:
    installs = [each.partition("pip install ")[2] for each in arguments("RUN") if "pip install" in each]
    by_lock, ours = installs
    assert by_lock.endswith(f"--require-hashes -r {LOCK.name}")
    assert {"--no-deps", "--no-build-isolation", "."} <= set(ours.split())


def test_the_image_s_lock_is_a_part_of_the_lock_of_all() -> None:
    image, whole = locked(LOCK), locked(ROOT / "requirements.lock")
    assert len(image) > 50
    assert {name: each for name, each in image.items() if whole.get(name) != each} == {}
    assert all(hashes for _, hashes in image.values())
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line and line[0] not in "# "]
    assert len(lines) == len(image)  # every entry was read


def test_the_image_s_lock_has_all_that_the_servers_need_and_what_builds_them() -> None:
    needed = set(pack.distributions(extras=(*pack.EXTRAS, "build"))) - {pack.DISTRIBUTION}
    assert needed <= {name.partition(" ")[0].lower() for name in locked(LOCK)}
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nimage-lock:\n")[2].partition("\n\n")[0]
    assert re.findall(r"--extra (\S+)", rule) == [*pack.EXTRAS, "build"]


def test_it_runs_our_command_as_the_user_that_pods_run_as() -> None:
    assert [json.loads(each) for each in arguments("ENTRYPOINT")] == [list(PROJECT["project"]["scripts"])]
    assert arguments("USER") == [str(manifest_parts.USER)]
    assert f"useradd --uid {manifest_parts.USER} " in " ".join(arguments("RUN"))


def test_both_stages_have_the_python_whose_packages_are_copied() -> None:
    images = [each.split()[0] for each in arguments("FROM")]
    assert all(one == other for one, other in pairwise(images))
    version = images[0].removeprefix("python:").removesuffix("-slim")
    assert f"/install/lib/python{version}/site-packages" in " ".join(arguments("RUN"))
