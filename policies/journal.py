"""The decision journal as text, one line of JSON for each control step, and its replay with any policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from math import isinf
from typing import Any

from ipa.policies.controller import Controller, Entry, Journal
from ipa.policies.interface import (
    OBSERVATION_SCHEMA_VERSION,
    OF_THE_FUTURE,
    Applied,
    Decision,
    LatencyQuantiles,
    Observation,
    Policy,
    PolicyError,
    ReplicaCounts,
    StageConfiguration,
    StageObservation,
    reads,
)
from ipa.profiles import Pipeline

_KEYS = tuple(field.name for field in fields(StageConfiguration))

MOST_DIGITS = 300
"""The most digits of a whole number in a journal, so that it fits a float."""


def to_line(entry: Entry) -> str:
    """One entry as one line of JSON. NaN, a missing sample, becomes null. A `why` that nobody asked for is
    left out."""
    data = asdict(entry)
    if data["decision"]["why"] is None:
        del data["decision"]["why"]
    return json.dumps(_without_nan(data), separators=(",", ":"), allow_nan=False)


def to_plain(configuration: StageConfiguration) -> dict[str, Any]:
    """A stage's configuration as JSON can hold it."""
    return asdict(configuration)


def from_plain(data: Mapping[str, Any]) -> StageConfiguration:
    """The configuration that `to_plain` has written. Raises TypeError for what it cannot have written."""
    if not isinstance(data, Mapping):
        raise TypeError(f"{data!r} is no configuration of a stage")
    if unknown := data.keys() - _KEYS:
        raise TypeError(f"a stage's configuration has no {', '.join(sorted(unknown))}; allowed: {', '.join(_KEYS)}")
    return StageConfiguration(**data)


def from_line(line: str, where: str = "journal") -> Entry:
    """The entry of a line that `to_line` has written; PolicyError, beginning with `where`, for any other line."""
    try:
        data = json.loads(line, parse_int=_whole, parse_float=_finite)
        if not isinstance(data, dict):
            raise TypeError("should be a JSON object")
        observation = _observation(data["observation"])
        outcome = data["outcome"]
        return Entry(
            observation,
            _decision(data["decision"]),
            None if outcome is None else Applied(**outcome),
        )
    except json.JSONDecodeError as error:
        raise PolicyError(f"{where}: not a line of JSON: {error.msg}, column {error.colno}") from None
    except KeyError as error:
        raise PolicyError(f"{where}: the key {error} is missing") from None
    except (TypeError, AttributeError, ValueError, RecursionError) as error:
        raise PolicyError(f"{where}: not a journal entry: {error}") from None


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"{text[:20]}... has {len(text)} digits; allowed: {MOST_DIGITS}")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(f"{text} is too large")
    return value


def read_journal(lines: Iterable[str], where: str = "journal") -> Iterator[Entry]:
    """The entries of a journal, line by line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield from_line(line, f"{where}:{number}")


def replay_journal(pipeline: Pipeline, policy: Policy, entries: Iterable[Entry]) -> Iterator[Entry]:
    """The decisions of `policy` on the recorded observations, starting from an empty memory.

    Raises PolicyError if the journal is of a pipeline with other stages, or lacks a field that the policy reads.
    """
    controller = Controller(pipeline, policy, Journal())
    fields_read = reads(policy)
    stages = {stage.name for stage in pipeline.stages}
    for entry in entries:
        observation = entry.observation
        if observation.stages.keys() != stages:
            raise PolicyError(
                f"the journal is of {observation.pipeline!r} with the stages {', '.join(observation.stages)}, not of "
                f"{pipeline.name!r}"
            )
        missing = [field for field in fields_read if not _has(observation, field)]
        if missing:
            how = "journal: full" if set(OF_THE_FUTURE).isdisjoint(missing) else "a policy that reads it"
            raise PolicyError(
                f"the policy reads {', '.join(missing)}, which the journal lacks at step {observation.step}; record it "
                f"with {how}"
            )
        yield Entry(observation, controller.decide(observation))


def _has(observation: Observation, field: str) -> bool:
    if field in ("busy_fraction", "concurrency"):
        return all(getattr(stage, field) is not None for stage in observation.stages.values())
    return getattr(observation, field) is not None


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value else None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


def _seconds(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(float("nan") if value is None else value for value in values)


def _optional(data: Any, build: Callable[[Any], Any]) -> Any:
    return None if data is None else build(data)


def _quantiles(data: Mapping[str, float | None]) -> LatencyQuantiles:
    return LatencyQuantiles(*_seconds(data[name] for name in ("p50_s", "p95_s", "p99_s")))


def _observation(data: dict[str, Any]) -> Observation:
    version = data["schema_version"]
    if version == 1:
        # It has no elapsed time. Policies then took the mean of all steps, which keeps their decisions the same.
        data = {**data, "elapsed_s": data["time_s"] / data["step"] if data["step"] > 0 else 0.0}
    elif version not in range(2, OBSERVATION_SCHEMA_VERSION + 1):
        raise ValueError(f"its schema_version is {version}; this program reads 1 to {OBSERVATION_SCHEMA_VERSION}")
    return Observation(
        **{
            **data,
            "schema_version": OBSERVATION_SCHEMA_VERSION,  # version 2 has no peak_rps
            "load_rps": _seconds(data["load_rps"]),
            "stages": {name: _stage(stage) for name, stage in data["stages"].items()},
            "latency": _optional(data["latency"], _quantiles),
            "future_rps": _optional(data["future_rps"], _seconds),
            "elapsed_s": data["elapsed_s"],
            "past_rps": _optional(data.get("past_rps"), _seconds),
        }
    )


def _stage(data: dict[str, Any]) -> StageObservation:
    return StageObservation(
        **{
            **data,
            "configuration": from_plain(data["configuration"]),
            "replicas": {name: ReplicaCounts(**counts) for name, counts in data["replicas"].items()},
            "latency": _optional(data["latency"], _quantiles),
            "failed_variants": tuple(data["failed_variants"]),
        }
    )


def _decision(data: dict[str, Any]) -> Decision:
    configuration = {name: from_plain(stage) for name, stage in data["configuration"].items()}
    return Decision(**{**data, "configuration": configuration, "notes": tuple(data["notes"])})
