"""The extras of this installation: what each requires, and which one a missing module belongs to."""

from __future__ import annotations

import re
from importlib import metadata

PROJECT = "ipa-pipelines"
FOR_DEVELOPERS = ("build", "docs", "lint", "test")
"""Extras that no command needs."""


def packages_by_extra() -> dict[str, list[str]]:
    """The packages of each extra, as its name is; empty where this is not installed."""
    try:
        requirements = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return {}
    packages: dict[str, list[str]] = {}
    for requirement in requirements:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        package = re.match(r"[\w.-]+", requirement)
        if extra and package and extra[1] not in FOR_DEVELOPERS:
            packages.setdefault(extra[1], []).append(package[0])
    return packages


def to_install(module: str | None) -> str:
    """What to install for a module that is missing, in words; empty if no extra has it."""
    name = (module or "").partition(".")[0]
    package = {"PIL": "pillow"}.get(name, name.replace("_", "-"))
    extras = sorted(extra for extra, packages in packages_by_extra().items() if package in packages)
    return f"needs {name}, which is not installed: pip install '.[{extras[0]}]' in the checkout" if extras else ""
