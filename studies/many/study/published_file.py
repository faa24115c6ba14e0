"""The file of published figures that a study compares its own with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ipa.profiles import FileModel, read_yaml, validate_document
from ipa.studies.scenario import ScenarioError


class PublishedFigures(FileModel):
    """A cell: the means of the planned cost and of the planned PAS, and where they are known the requests that were
    dropped or failed, and the violated seconds."""

    cores: float
    pas: float
    lost: float | None = None
    violated_seconds_percent: float | None = None


class PublishedPoint(FileModel):
    """What is published of a point of a sweep: the requests that were dropped or failed."""

    lost: float


class PublishedLoad(FileModel):
    """A load: its requests, and by the second their mean, the fewest and the most."""

    requests: int
    mean_rps: float
    least_rps: int
    most_rps: int


class SeenMost(FileModel):
    """A configuration that was seen often; `share` of the decisions, None where it is not published."""

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
    """The file: pipeline -> workload -> system -> figures.

    Unpublished profile figures were chosen on the workloads `calibrated_on`; `fitted_on`: pipeline -> workload -> the
    systems of which a parameter was chosen on that very cell. `points`: sweep -> pipeline -> workload -> point.
    """

    schema_version: Literal[1] = 1
    kind: Literal["published"] = "published"
    source: str
    calibrated_on: list[str] = Field(default_factory=list)
    fitted_on: dict[str, dict[str, list[str]]] = Field(default_factory=dict)
    loads: dict[str, PublishedLoad] = Field(default_factory=dict)
    cells: dict[str, dict[str, dict[str, PublishedFigures]]]
    points: dict[str, dict[str, dict[str, dict[str, PublishedPoint]]]] = Field(default_factory=dict)
    seen_most: dict[str, dict[str, dict[str, list[SeenMost]]]] = Field(default_factory=dict)
    decision_times: list[DecisionTime] = Field(default_factory=list)
    predictor_smape_percent: Annotated[float, Field(gt=0)] | None = None


def load(path: Path) -> PublishedFile:
    """The file's figures. Raises ScenarioError, with file and line, for anything wrong in it."""
    return validate_document(PublishedFile, read_yaml(path, kind="published", error=ScenarioError), error=ScenarioError)
