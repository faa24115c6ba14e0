"""Scenarios by name, from files and from command-line values; the files and names in them are checked."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipa import profiles
from ipa.policies import check_cores, check_gpus, create, is_settings_file
from ipa.profiles import (
    Document,
    Pipeline,
    ProfileError,
    did_you_mean,
    parse_yaml,
    read_yaml,
    validate_document,
    value_in_text,
)
from ipa.studies.scenario.errors import ScenarioError
from ipa.studies.scenario.loads import find_trace
from ipa.studies.scenario.scenario import SCHEMA_VERSION, STAGE_KEYS, Scenario
from ipa.studies.scenario.start import ready_at_start


def find(
    name_or_path: str, values: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Scenario:
    """The scenario of that name: a scenario file, or a pipeline (shipped or a file) with defaults for everything else.

    `values`, by dotted key, override these; `defaults` are for keys that a file does not have. Raises ProfileError or
    ScenarioError if it is neither.
    """
    path = Path(name_or_path)
    if name_or_path not in profiles.names() and (path.suffix in (".yaml", ".yml") or path.exists()):
        kinds = ("pipeline", "scenario")
        if read_yaml(path, kind=kinds, error=ScenarioError).data["kind"] == "scenario":
            return load(path, values, defaults)
    profiles.load(name_or_path)
    return Scenario(pipeline=name_or_path).with_values({**(defaults or {}), **(values or {})})


def load(
    path: str | Path, values: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Scenario:
    """The scenario in a YAML file. Raises ScenarioError, with file and line, for anything wrong in it.

    Paths in the file (pipeline, trace, policy, predictor and its model) are relative to the file's folder. `values`, by
    dotted key, override the file; `defaults` are for keys that it does not have.
    """
    document = read_yaml(path, kind="scenario", schema_version=SCHEMA_VERSION, error=ScenarioError)
    document = replace(document, data=with_settings_beside(document.data, Path(path).parent))
    scenario = validate_document(Scenario, document, error=ScenarioError)
    values = {**{key: value for key, value in (defaults or {}).items() if key not in document.data}, **(values or {})}
    scenario = located(scenario, Path(path).parent).with_values(values)
    check_names(scenario, document, {key.partition(".")[0] for key in values})
    return scenario


def located(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario of a file in this folder, with the paths of what lies there."""
    policy = scenario.policy
    predictor = policy.parameters.get("predictor")
    return scenario.model_copy(
        update={
            "pipeline": beside(folder, scenario.pipeline),
            "trace": beside(folder, scenario.trace),
            "trace_sha256": {beside(folder, name): digest for name, digest in scenario.trace_sha256.items()},
            "policy": policy.model_copy(
                update={
                    "name": beside(folder, policy.name),
                    **({"predictor": predictor_beside(folder, predictor)} if predictor is not None else {}),
                }
            ),
        }
    )


def is_fleet(path: str | Path) -> bool:
    """Whether this is the path of a file of the kind fleet; a file that cannot be read is of none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return bool(parse_yaml(text, str(path), error=ScenarioError).data.get("kind") == "fleet")
    except (OSError, ValueError):
        return False


def with_settings_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The data of a scenario file, with the path of an autoscaler's settings, which are read at once, made whole."""
    policy = data.get("policy")
    name = policy.get("name") if isinstance(policy, Mapping) else policy
    file, _, parameters = name.partition(" ") if isinstance(name, str) else ("", "", "")
    if not is_settings_file(file):
        return data
    whole = f"{beside(folder, file)} {parameters}".rstrip()
    return {**data, "policy": {**policy, "name": whole} if isinstance(policy, Mapping) else whole}


def check_names(scenario: Scenario, document: Document, replaced: Collection[str]) -> None:
    """Raise ScenarioError, with the line, if something that a file names does not exist."""
    key = "pipeline"
    try:
        pipeline = profiles.load(scenario.pipeline)
        key = "profile_factors"
        pipeline = with_profile(pipeline, scenario)
        key = "price_per_gpu"
        pipeline = with_gpu_price(pipeline, scenario)
        key = "limit_gpus"
        check_gpu_limit(pipeline, scenario)
        key = "limits"
        pipeline = within_limits(pipeline, scenario)
        key = "limit_cores"
        if scenario.limit_cores is not None:
            check_cores(pipeline, key, scenario.limit_cores)
        key = "policy"
        create(scenario.policy.name, pipeline, scenario.policy.parameters, scenario.facts)
        for key in STAGE_KEYS:
            check_stage_names(pipeline, key, getattr(scenario, key) or {})
        key = "initial"
        ready_at_start(pipeline, scenario.initial or {})
        key = "trace"
        if not Path(scenario.trace).is_file():  # files are read only once, by the run
            find_trace(scenario.trace, scenario.seed, scenario.read)
    except ValueError as error:
        if key in replaced or key not in document.data:
            raise
        inside, _, text = str(error).partition(": ")
        path = tuple(inside.split("."))
        if path[0] == key and _can_hold(document.data, path):  # a key, not a file name such as `policy.py:3`
            raise ScenarioError(document.error_at(path, text)) from None
        raise ScenarioError(document.error_at((key,), str(error))) from None


def _can_hold(data: object, path: Sequence[str]) -> bool:
    """Whether a document has the mapping that would hold the last key of a path."""
    for part in path[:-1]:
        data = data.get(part) if isinstance(data, Mapping) else None
    return isinstance(data, Mapping) and ":" not in path[-1]


def check_stage_names(pipeline: Pipeline, key: str, values_by_stage: Mapping[str, object]) -> None:
    """Raise ScenarioError if a key of a scenario names a stage that the pipeline does not have."""
    names = [stage.name for stage in pipeline.stages]
    for name in values_by_stage:
        if name not in names:
            raise ScenarioError(
                f"{key}: {pipeline.name!r} has no stage {name!r}; it has {', '.join(names)}{did_you_mean(name, names)}"
            )


def with_profile(pipeline: Pipeline, scenario: Scenario) -> Pipeline:
    """The pipeline with the scenario's factors on its profile. Raises ScenarioError for factors that do not fit it."""
    check_stage_names(pipeline, "profile_factors", scenario.profile_factors)
    try:
        return pipeline.bent(scenario.profile_factors)
    except ProfileError as error:
        raise ScenarioError(f"profile_factors: {error}") from None


def with_gpu_price(pipeline: Pipeline, scenario: Scenario) -> Pipeline:
    """The pipeline with the scenario's price of a GPU, in cores. Raises ScenarioError for one that does not fit it."""
    if scenario.price_per_gpu is None:
        return pipeline
    if not pipeline.has_gpus:
        raise ScenarioError(f"price_per_gpu: no variant of {pipeline.name} has GPUs; leave it out")
    cores = scenario.price_per_gpu / scenario.price_per_core
    if not math.isclose(cores, max(1, round(cores)), rel_tol=1e-9):
        below, above = (scenario.price_per_core * max(1, number) for number in (math.floor(cores), math.ceil(cores)))
        raise ScenarioError(
            f"price_per_gpu: should be a whole multiple of price_per_core, {scenario.price_per_core:g}, such as "
            f"{below:.6g} or {above:.6g}; given {scenario.price_per_gpu:g}"
        )
    return pipeline.with_gpu_cores(round(cores))


def check_gpu_limit(pipeline: Pipeline, scenario: Scenario) -> None:
    """Raise PolicyError for a limit of GPUs that does not fit the pipeline."""
    if scenario.limit_gpus is not None:
        check_gpus(pipeline, "limit_gpus", scenario.limit_gpus)


def within_limits(pipeline: Pipeline, scenario: Scenario) -> Pipeline:
    """The pipeline within the scenario's cluster limits. Raises ScenarioError for limits that do not fit it."""
    for key in ("min_replicas", "max_replicas", "ruled_out"):
        check_stage_names(pipeline, f"limits.{key}", getattr(scenario.limits, key))
    try:
        return pipeline.within(scenario.limits_of([stage.name for stage in pipeline.stages]))
    except ProfileError as error:
        raise ScenarioError(f"limits: {error}") from None


def beside(folder: Path, name: str) -> str:
    """The path of a file in the folder; any other name (shipped ones have no suffix) is returned unchanged."""
    file, colon, rest = name.partition(":")
    is_there = bool(Path(file).suffix) and (folder / file).is_file()
    return f"{folder / file}{colon}{rest}" if is_there else name


def predictor_beside(folder: Path, given: Any) -> Any:
    """A predictor, by name or with parameters, with the paths of a class or model file in the folder filled in."""
    if isinstance(given, str):
        return beside(folder, given)
    if isinstance(given, Mapping):
        return {
            key: beside(folder, value) if key in ("name", "model") and isinstance(value, str) else value
            for key, value in given.items()
        }
    return given


def parse_value(text: str) -> Any:
    """A command-line value, parsed like the same text in a scenario file; the outer braces of a mapping are optional.

    Raises ScenarioError if it is invalid.
    """
    try:
        return value_in_text(text, ScenarioError)
    except ScenarioError as error:
        raise ScenarioError(str(error).partition(": ")[2]) from None
