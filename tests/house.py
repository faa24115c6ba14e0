"""The structure of the source as the tests see it: folders, their modules and faces, and who imports what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import ipa

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ipa.__file__).parent
LAYERS = ("profiles", "traces", "policies", "sim", "live", "studies")


@dataclass(frozen=True)
class Import:
    """`from module import name` at a place, `FILE:LINE`, in a file of the package `by`."""

    place: str
    by: str
    module: str
    name: str


def folders() -> list[str]:
    """The name of every package: `ipa`, `ipa.sim`, `ipa.sim.events`, ..."""
    found = ["ipa"]
    for layer in LAYERS:
        inits = sorted((ROOT / layer).rglob("__init__.py"))
        found += [".".join(["ipa", *init.parent.relative_to(ROOT).parts]) for init in inits]
    return found


def path_of(folder: str) -> Path:
    """Where a package's files are."""
    return PACKAGE.joinpath(*folder.split(".")[1:])


def members(folder: str) -> list[str]:
    """The modules and the folders directly in a package."""
    here = path_of(folder)
    modules = [path.stem for path in here.glob("*.py") if not path.stem.startswith("__")]
    return sorted([*modules, *(path.parent.name for path in here.glob("*/__init__.py"))])


def face(folder: str) -> list[str]:
    """What a package offers to others."""
    return sorted(getattr(import_module(folder), "__all__", []))


def imports() -> Iterator[Import]:
    """Every import of ours in the packages and in the examples."""
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            by = "" if "examples" in parts else ".".join(["ipa", *parts[:-1]])
            yield from imports_in(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)), by)


def imports_in(text: str, name: str, by: str) -> Iterator[Import]:
    """The imports of ours in a source text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and re.match(r"ipa\b", node.module or ""):
            for alias in node.names:
                yield Import(f"{name}:{node.lineno}", by, str(node.module), alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if "." in alias.name and re.match(r"ipa\b", alias.name):
                    module, _, last = alias.name.rpartition(".")
                    yield Import(f"{name}:{node.lineno}", by, module, last)


def is_allowed(found: Import, packages: set[str], faces: dict[str, list[str]]) -> bool:
    """Whether an import is of a face, or inside the folder that the module is private to."""
    target = f"{found.module}.{found.name}"
    if target in packages:
        return True
    owner = found.module if found.module in packages else found.module.rpartition(".")[0]
    is_inside = f"{found.by}.".startswith(f"{owner}.")
    if owner == "ipa":
        return found.module == "ipa.errors" or found.name in faces["ipa"]
    return is_inside or (found.module in packages and found.name in faces[found.module])
