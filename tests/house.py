"""The structure of the source as the tests see it: folders, their modules and faces, and who imports what.

`python -m tests.house` prints the map of the source, `python -m tests.house policies sim` that of some folders.
"""

from __future__ import annotations

import ast
import re
import sys
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


def map_of(folder: str) -> list[str]:
    """A line for a package and for each of its modules: its name and the first line of its docstring."""
    here = path_of(folder)
    paths = {folder: here / "__init__.py"}
    paths |= {f"    {path.stem}": path for path in sorted(here.glob("*.py")) if not path.stem.startswith("__")}
    texts = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for name, path in paths.items()}
    return [f"{name}  " + (text or "").partition("\n")[0] for name, text in texts.items()]


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
    """Whether an import is of a face, or inside the folder that the module is private to; examples import their own."""
    if found.module.startswith("ipa.studies.examples"):
        return not found.by
    target = f"{found.module}.{found.name}"
    if target in packages:
        return True
    owner = found.module if found.module in packages else found.module.rpartition(".")[0]
    is_inside = f"{found.by}.".startswith(f"{owner}.")
    if owner == "ipa":
        return found.module in ("ipa.errors", "ipa.models", "ipa.numbers") or found.name in faces["ipa"]
    return is_inside or (found.module in packages and found.name in faces[found.module])


if __name__ == "__main__":
    for each in folders():
        if not sys.argv[1:] or each.split(".")[1:2] in ([name] for name in sys.argv[1:]):
            print(*map_of(each), sep="\n")
