"""The file of published figures that a study sets beside its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from profiles.yaml_file import FileModel, read, validate
from studies.errors import ScenarioError


class Figures(FileModel):
    """A cell: the mean of the planned cost and of the planned PAS."""

    cores: float
    pas: float


class SeenMost(FileModel):
    """A configuration that was seen much; `share` of the decisions, None where it is not said."""

    configuration: str
    cores: str
    share: float | None = None


class DecisionTime(FileModel):
    """How long one decision took; `variants` of each stage, `batches` where the number of batch sizes is known."""

    variants: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    batches: int | None = None
    seconds: float
    how: str


class PublishedFile(FileModel):
    """The file: pipeline -> workload -> system -> figures."""

    schema_version: Literal[1] = 1
    kind: Literal["published"] = "published"
    source: str
    calibrated_on: list[str] = Field(default_factory=list)
    cells: dict[str, dict[str, dict[str, Figures]]]
    seen_most: dict[str, dict[str, dict[str, list[SeenMost]]]] = Field(default_factory=dict)
    decision_times: list[DecisionTime] = Field(default_factory=list)
    predictor_smape_percent: Annotated[float, Field(gt=0)] | None = None


def load(path: Path) -> PublishedFile:
    """The file's figures. Raises ScenarioError, with file and line, for whatever is wrong in it."""
    return validate(PublishedFile, read(path, kind="published", error=ScenarioError), error=ScenarioError)
