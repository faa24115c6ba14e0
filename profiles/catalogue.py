"""Finding pipelines: the shipped ones by name, others by path."""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ipa.profiles.errors import ProfileError, did_you_mean, listed, text_of
from ipa.profiles.pipeline import Pipeline


def names() -> tuple[str, ...]:
    """The shipped pipelines, sorted."""
    return tuple(sorted(_shipped()))


def load(name_or_path: str | Path) -> Pipeline:
    """A shipped pipeline by name (`video`), or the pipeline of a file.

    A shipped name wins over a file of the same name; what has a suffix, holds a separator or exists
    is a path. ProfileError for a name that is not shipped, and for a file that cannot be read or
    breaks the schema, with file, line and key.
    """
    if isinstance(name_or_path, str) and name_or_path in _shipped():
        return _load_shipped(name_or_path)
    return _load_file(_find(name_or_path))


def text(name_or_path: str | Path) -> str:
    """The text of a pipeline's file, found as by `load`, with the numbers of other files in it.

    ProfileError for a name that is not shipped, for a file that cannot be read, and as `load` if it names others.
    """
    text = text_of(_find(name_or_path))
    if "counts" not in text and "table" not in text:
        return text
    from ipa.profiles.counts import with_tables

    return with_tables(text, load(name_or_path))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a pipeline file, for editors."""
    from ipa.profiles.schema import PipelineFile

    schema = PipelineFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _find(name_or_path: str | Path) -> Path | Traversable:
    if isinstance(name_or_path, str) and name_or_path in _shipped():
        return _shipped()[name_or_path]
    path = Path(name_or_path)
    if isinstance(name_or_path, Path) or path.suffix or len(path.parts) > 1 or path.exists():
        return path
    raise ProfileError(
        f"no pipeline is called {name_or_path!r}{did_you_mean(name_or_path, _shipped())}; "
        f"shipped: {listed(names())}; or give the path of a pipeline file"
    )


@cache
def _shipped() -> dict[str, Traversable]:
    library = resources.files("ipa.profiles") / "library"
    files = {file.name: file for file in library.iterdir()}
    return {name.removesuffix(".yaml"): file for name, file in files.items() if name.endswith(".yaml")}


@cache
def _load_shipped(name: str) -> Pipeline:
    return _load_file(_shipped()[name])


def _load_file(path: Path | Traversable) -> Pipeline:
    from ipa.profiles.schema import PipelineFile
    from ipa.profiles.yaml_file import read_yaml, validate_document

    return validate_document(PipelineFile, read_yaml(path, kind="pipeline")).pipeline()
