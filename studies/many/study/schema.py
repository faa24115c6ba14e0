"""The schemas of a study file, and of a file of published figures.

A study file has named systems on named workloads under named settings, and sweeps of their parameters.

`set` maps keys of a scenario, dotted as on the command line (`policy.beta`), to values. The scenario of a run is made
of these, later ones overriding earlier ones: the setting's `set`, the system's policy and `set`, every matching entry
of `parameters` and, for a point of a sweep, its `set` and the varied values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ipa.profiles import Document, FileModel, Loc, did_you_mean, listed, read_yaml, refusal, validate_document
from ipa.studies.scenario import ScenarioError

Names = Annotated[list[str], Field(min_length=1)]


def _as_text(value: object) -> object:
    """A title such as 2000 need not be quoted."""
    return f"{value}" if isinstance(value, int | float) and not isinstance(value, bool) else value


Title = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | float)]

SHIPPED = Path(str(files("ipa.studies")))
"""The folder of the shipped studies: `paper/video.yaml` and others."""

ALL_VARIANTS = "all"
"""The value of `policy.variants` in a sweep for every combination of the stages' variants."""


class Setting(FileModel):
    """Keys that all systems share."""

    title: Title = Field(default="", description="what tables and reports call it")
    like: str | None = Field(default=None, description="another setting, whose keys this one inherits")
    systems: Names | None = Field(default=None, description="the systems that it is for, in tables only; default: all")
    set: dict[str, Any] = Field(default_factory=dict, description="key of a scenario -> value")


class System(FileModel):
    """A policy under a name of its own, so that a study can have one policy several times."""

    title: Title = Field(default="", description="what tables and reports call it")
    policy: str = Field(description="a policy, as in a scenario")
    set: dict[str, Any] = Field(default_factory=dict, description="key of a scenario -> value")


class Parameters(FileModel):
    """Keys for some systems, workloads and settings; default: for all."""

    systems: Names | None = Field(default=None, description="only these systems")
    workloads: Names | None = Field(default=None, description="only these loads")
    settings: Names | None = Field(default=None, description="only these settings")
    set: dict[str, Any] = Field(description="key of a scenario -> value")


class Sweep(FileModel):
    """A system with other values: every combination of those varied, or named points."""

    title: Title = Field(default="", description="what tables and reports call it")
    of: str = Field(description="the system")
    settings: Names | None = Field(default=None, description="where it runs; default: the first setting")
    set: dict[str, Any] = Field(default_factory=dict, description="key of a scenario -> value")
    vary: dict[str, Annotated[list[Any], Field(min_length=1)] | Literal["all"]] = Field(
        default_factory=dict, description="key -> values; `policy.variants: all` is every combination of variants"
    )
    points: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="in place of vary: name -> keys with values, shown beside each other"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.vary) == bool(self.points):
            raise refusal("needs either `vary` (key: list of values) or `points` (name: keys with their values)")
        return self


class Headline(FileModel):
    """What a sweep gains in accuracy at the cost of other systems or sweeps, and saves in cost at their accuracy."""

    curve: str = Field(description="a sweep")
    gain_over: list[str] = Field(default_factory=list, description="systems or sweeps")
    saving_over: list[str] = Field(default_factory=list, description="systems or sweeps")


class StudyFile(FileModel):
    """One file. `base` names another one, beside it or shipped, which holds where this one says nothing."""

    schema_version: Literal[1] = Field(default=1, description="the version of the format")
    kind: Literal["study"] = Field(default="study", description="what the file is")
    base: str | None = Field(
        default=None,
        description="a study file in the same folder, or a shipped one (`paper/video.yaml`), for every key missing "
        "here; mappings are merged by name, `parameters` come after the base's",
    )
    title: Title | None = Field(default=None, description="title of the report; default: the file's name")
    pipeline: str | None = Field(
        default=None, description="required here or in `base`: a shipped pipeline, or a file in the study's folder"
    )
    workloads: Names | None = Field(
        default=None, description="required here or in `base`: loads by name, or files in the study's folder"
    )
    prefer_real_trace: bool | None = Field(
        default=None, description="take the four named loads from the real trace where IPA_TRACE names it; default: no"
    )
    seeds: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="runs of each system on each load, with seeds from 1 up; default: 1"
    )
    settings: dict[str, Setting] = Field(default_factory=dict, description="name -> keys that all systems share")
    systems: dict[str, System] = Field(
        default_factory=dict,
        description="required here or in `base`: name -> policy and keys; the others are compared with the first",
    )
    parameters: list[Parameters] = Field(default_factory=list, description="keys for some systems, loads and settings")
    sweeps: dict[str, Sweep] = Field(default_factory=dict, description="name -> a system with other values")
    headline: Headline | None = None
    bound: str | None = Field(default=None, description="the system that bounds the others")
    published: str | None = Field(default=None, description="a file of published figures to compare with")


@dataclass(frozen=True)
class Place:
    """A place in a file, for error messages."""

    document: Document
    loc: Loc

    def error(self, text: str) -> ScenarioError:
        return ScenarioError(self.document.error_at(self.loc, text))


@dataclass(frozen=True)
class Study:
    """A study merged with its bases. `places` are the origins of its parts: (section, name or number) -> place."""

    path: Path
    title: str
    pipeline: str
    workloads: tuple[str, ...]
    prefer_real_trace: bool
    seeds: int
    settings: Mapping[str, Setting]
    systems: Mapping[str, System]
    parameters: tuple[Parameters, ...]
    sweeps: Mapping[str, Sweep]
    headline: Headline | None
    bound: str | None
    published: Path | None
    files: tuple[Path, ...]
    places: Mapping[tuple[str, str | int], Place]


ONLY_SETTING = {"default": Setting(title="own defaults")}
"""The settings of a study without any."""


def load(path: Path) -> Study:
    """The study in a file. Raises ScenarioError, with file and line, for anything wrong in it or in its bases."""
    layers = _layers(path)
    document, _ = layers[-1]

    def scalar(key: str) -> Any:
        return next((value for _, layer in reversed(layers) if (value := getattr(layer, key)) is not None), None)

    for key, meaning in (("pipeline", "the pipeline to run"), ("workloads", "the loads to run it on")):
        if scalar(key) is None:
            raise ScenarioError(document.error_at((), f"the key {key!r} is missing: {meaning}"))
    sections: dict[str, dict[str, Any]] = {"settings": {}, "systems": {}, "sweeps": {}}
    places: dict[tuple[str, str | int], Place] = {}
    parameters: list[Parameters] = []
    for layer_document, layer in layers:
        for section, entries in sections.items():
            for name, value in getattr(layer, section).items():
                entries[name] = value
                places[section, name] = Place(layer_document, (section, name))
        for number, entry in enumerate(layer.parameters):
            places["parameters", len(parameters)] = Place(layer_document, ("parameters", number))
            parameters.append(entry)
        for key in ("pipeline", "workloads", "headline", "bound"):
            if getattr(layer, key) is not None:
                places["keys", key] = Place(layer_document, (key,))
    if not sections["systems"]:
        raise ScenarioError(
            document.error_at((), "the key 'systems' is missing: the policies to run, each under a name")
        )
    study = Study(
        path=path,
        title=scalar("title") or path.stem,
        pipeline=scalar("pipeline"),
        workloads=tuple(scalar("workloads")),
        prefer_real_trace=bool(scalar("prefer_real_trace")),
        seeds=scalar("seeds") or 1,
        settings=sections["settings"] or ONLY_SETTING,
        systems=sections["systems"],
        parameters=tuple(parameters),
        sweeps=sections["sweeps"],
        headline=scalar("headline"),
        bound=scalar("bound"),
        published=_published(layers),
        files=tuple(Path(layer_file.path) for layer_file, _ in layers),
        places=places,
    )
    # A study may use only some of its base's workloads, and keep the parameters for the others.
    ever = [workload for _, layer in layers for workload in layer.workloads or ()]
    _check_references(study, tuple(dict.fromkeys(ever)))
    return study


def _layers(path: Path) -> list[tuple[Document, StudyFile]]:
    """The file and its bases, the deepest base first."""
    layers: list[tuple[Document, StudyFile]] = []
    files: list[Path] = []
    while True:
        document = read_yaml(path, kind="study", error=ScenarioError)
        file = validate_document(StudyFile, document, error=ScenarioError)
        layers.insert(0, (document, file))
        files.append(path.resolve())
        if file.base is None:
            return layers
        beside, shipped = path.parent / file.base, SHIPPED / file.base
        path = beside if beside.is_file() else shipped
        if not path.is_file():
            raise ScenarioError(document.error_at(("base",), f"{beside}: no such file"))
        if path.resolve() in files:
            raise ScenarioError(document.error_at(("base",), f"{file.base}: a study cannot be its own base"))


def _published(layers: list[tuple[Document, StudyFile]]) -> Path | None:
    """The file of published figures, in the folder of the file that names it."""
    for document, layer in reversed(layers):
        if layer.published is not None:
            path = Path(document.path).parent / layer.published
            if not path.is_file():
                raise ScenarioError(document.error_at(("published",), f"{path}: no such file"))
            return path
    return None


def _check_references(study: Study, workloads: tuple[str, ...]) -> None:
    """Raise ScenarioError for an unknown name; `workloads` are those of the file and its bases."""
    allowed = {
        "systems": (*study.systems,),
        "workloads": workloads,
        "settings": (*study.settings,),
        "sweeps": (*study.sweeps,),
    }

    def check(place: Place, key: str, names: list[str] | None, among: tuple[str, ...]) -> None:
        for name in names or ():
            if name not in among:
                hint = did_you_mean(name, among)
                raise place.error(f"{key}: unknown name {name!r}{hint}; allowed: {listed(among) or 'none'}")

    earlier: list[str] = []
    for name, setting in study.settings.items():
        if ("settings", name) in study.places:
            place = study.places["settings", name]
            check(place, "systems", setting.systems, allowed["systems"])
            check(place, "like", [setting.like] if setting.like else None, (*earlier,))
        earlier.append(name)
    for number, entry in enumerate(study.parameters):
        for key in ("systems", "workloads", "settings"):
            check(study.places["parameters", number], key, getattr(entry, key), allowed[key])
    for name, sweep in study.sweeps.items():
        place = study.places["sweeps", name]
        check(place, "of", [sweep.of], allowed["systems"])
        check(place, "settings", sweep.settings, allowed["settings"])
        if name in study.systems:
            raise place.error("is a system's name too; give the sweep another")
        for key, values in sweep.vary.items():
            if values == ALL_VARIANTS and key != "policy.variants":
                raise place.error(f"vary {key}: `all` is for policy.variants; list the values, as [1, 2]")
    if study.bound is not None:
        check(study.places["keys", "bound"], "system", [study.bound], allowed["systems"])
    if study.headline is not None:
        place = study.places["keys", "headline"]
        check(place, "curve", [study.headline.curve], allowed["sweeps"])
        for key in ("gain_over", "saving_over"):
            check(place, key, getattr(study.headline, key), (*allowed["systems"], *allowed["sweeps"]))


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


def load_published(path: Path) -> PublishedFile:
    """The published figures in a file. Raises ScenarioError, with file and line, for anything wrong in it."""
    return validate_document(PublishedFile, read_yaml(path, kind="published", error=ScenarioError), error=ScenarioError)
