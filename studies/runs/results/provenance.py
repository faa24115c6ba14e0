"""Where results come from: the versions of the program and its libraries, a digest of its source, the files it read."""

from __future__ import annotations

import platform
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.policies import split_spec
from ipa.sim import file_digest

if TYPE_CHECKING:
    from ipa.studies.scenario import Scenario

PACKAGES = ("ipa-pipelines", "numba", "numpy", "pandas", "pyarrow", "scipy", "simpy")
"""What the figures of a run depend on."""

LAYERS = ("profiles", "traces", "policies", "sim")
OF_STUDIES = ("scenario/*.py", "runs/run.py", "runs/tables.py", "series.py", "many/outcome.py")
"""The files of `studies` that a run goes through; all others only show what came of it."""


def versions() -> dict[str, Any]:
    """The versions of Python and of `PACKAGES`, and as this program's own a digest of its source too."""
    return {"python": platform.python_version(), "versions": {**versions_of(*PACKAGES), "source": source_digest()}}


def versions_of(*packages: str) -> dict[str, str | None]:
    """The versions of installed packages; None: it is not installed."""
    return {name: _version(name) for name in packages}


@cache
def source_digest() -> str:
    """sha256 of the source that decides what comes of a run, read once per process.

    It is the same for a checkout and for what is installed from it.
    """
    folder = Path(__file__).parents[3]
    return file_digest(folder, source_files(folder))


def source_files(folder: Path) -> list[Path]:
    """The files of that source, in the folder that holds the packages."""
    layers = [file for layer in LAYERS for file in (folder / layer).rglob("*.py")]
    learned = (folder / "policies" / "predictors" / "library").glob("*.npz")
    return [*layers, *learned, *(file for name in OF_STUDIES for file in (folder / "studies").glob(name))]


def files_of(scenario: Scenario) -> dict[str, str]:
    """The sha256 of every file that a scenario names (pipeline, trace, policy, predictor), by the name it gives."""
    return {name: sha256(Path(name).read_bytes()).hexdigest() for name in names_in(scenario) if Path(name).is_file()}


def names_in(scenario: Scenario) -> dict[str, None]:
    """Everything in a scenario that may be the name of a file, in order."""
    found: dict[str, None] = {}

    def look_at(value: object) -> None:
        if isinstance(value, str):
            found.update(dict.fromkeys(name for name in (value, value.rpartition(":")[0]) if name))
        elif isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                look_at(item)

    look_at(scenario.as_dict())
    name, parameters = split_spec(scenario.policy.name)
    look_at([name, parameters])
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
