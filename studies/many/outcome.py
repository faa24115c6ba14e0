"""What is kept of one of many runs: its summary, and files. The files are those of a run's own folder, or for a study's
pages its course: a timeline, latency histograms and the decided configurations."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np

from ipa.policies import Configuration
from ipa.sim import (
    COMPLETED,
    FloatArray,
    IntArray,
    Records,
    bin_edges,
    bin_numbers,
    configured_accuracy,
    configured_cores,
)
from ipa.studies.runs import Run
from ipa.studies.runs.results import MANIFEST, as_json, manifest_of
from ipa.studies.series import bin_s

TIMELINE = (
    "time_s",
    "load_rps",
    "forecast_rps",
    "planned_cost_cores",
    "planned_pas",
    "cost_cores",
    "requests",
    "violations",
    "violated_seconds",
)
"""The columns of a timeline, one row per bin, which starts at `time_s`. Costs and PAS are means over the bin; the
forecast is the one in force at its start; the rest count the requests that arrived in it, and its seconds."""

ARRIVED_SECONDS = "arrived_seconds"
"""Added to the summary: the number of seconds in which any request arrived."""

LATENCY_LEAST_S = 1e-3
LATENCY_BINS_PER_DECADE = 100
LATENCY_DECADES = 7
"""Latencies are counted in bins 2.3 % wide, from a millisecond on."""


@dataclass(frozen=True)
class FinishedRun:
    """What is kept of a finished run: its summary, and files by name."""

    summary: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


LATENCIES = "latencies"
"""The file of a run's latencies, where no tables are kept."""


def with_latencies(run: Run) -> FinishedRun:
    """A run without its tables and journal."""
    manifest = as_json(manifest_of(run, {})).encode()
    return FinishedRun(run.summary, {MANIFEST: manifest, LATENCIES: _completed_latencies(run).tobytes()})


def _completed_latencies(run: Run) -> FloatArray:
    """As `run.latencies`, of all records without making their tables."""
    if run.counted is not None:
        return run.latencies
    latency_s = _latency_s(run.records)
    latency_s = latency_s[np.isfinite(latency_s)]
    return np.array([latency_s, np.ones(len(latency_s))])


def latencies_in(content: bytes) -> FloatArray:
    """What the file `LATENCIES` holds."""
    return np.frombuffer(content).reshape(2, -1)


class DecidedConfiguration(NamedTuple):
    """A decided configuration: the variant and replicas of each stage, the total cores, and the share of the time for
    which it was in force."""

    variants: tuple[str, ...]
    replicas: tuple[int, ...]
    cores: float
    share: float

    @property
    def text(self) -> str:
        """In words: `2 x yolov5n + resnet18`."""
        pairs = zip(self.variants, self.replicas, strict=True)
        return " + ".join((f"{count} x " if count > 1 else "") + variant for variant, count in pairs)


@dataclass(frozen=True)
class Course:
    """The course of a finished run. `timeline`: shape (len(TIMELINE), bins); `latencies`: completed requests by bin of
    latency; `seconds`: the seconds with arrivals by bin of these requests' p99, without those whose p99 is infinite,
    that of a request not completed."""

    summary: dict[str, Any]
    timeline: FloatArray
    latencies: IntArray
    seconds: IntArray
    configurations: list[DecidedConfiguration]

    @classmethod
    def of(cls, outcome: FinishedRun) -> Self:
        """The course that an outcome of `packed` holds."""
        timeline, latencies, seconds, configurations = (zlib.decompress(outcome.files[name]) for name in _COURSE)
        return cls(
            outcome.summary,
            np.frombuffer(timeline, dtype="<f8").reshape(len(TIMELINE), -1),
            np.frombuffer(latencies, dtype="<i8"),
            np.frombuffer(seconds, dtype="<i8"),
            [
                DecidedConfiguration(tuple(names), tuple(counts), *rest)
                for names, counts, *rest in json.loads(configurations)
            ],
        )

    @property
    def packed(self) -> FinishedRun:
        """The course as an outcome, to be kept."""
        contents = (
            np.ascontiguousarray(self.timeline, dtype="<f8").tobytes(),
            self.latencies.astype("<i8").tobytes(),
            self.seconds.astype("<i8").tobytes(),
            json.dumps(self.configurations).encode(),
        )
        packed = {name: zlib.compress(content, 1) for name, content in zip(_COURSE, contents, strict=True)}
        return FinishedRun(self.summary, packed)


_COURSE = ("timeline", "latencies", "seconds", "configurations")


def course_of(run: Run) -> Course:
    """The course of a run; it needs all records."""
    since_s, configurations, forecast_rps = _decided(run)
    p99_s = p99_of_seconds_s(run.records)
    return Course(
        summary={**run.summary, ARRIVED_SECONDS: len(p99_s)},
        timeline=_timeline(run, since_s, configurations, forecast_rps),
        latencies=_histogram(_latency_s(run.records)),
        seconds=_histogram(p99_s),
        configurations=_configurations(since_s, configurations, run.trace.duration_s),
    )


def latency_edges_s() -> FloatArray:
    """The upper ends of the bins of latencies."""
    bins = LATENCY_BINS_PER_DECADE * LATENCY_DECADES
    upper = np.arange(1, bins + 1) / LATENCY_BINS_PER_DECADE
    return np.asarray(LATENCY_LEAST_S * 10.0**upper)


def _latency_s(records: Records) -> FloatArray:
    """The latency of every request; infinite if it was not completed."""
    return np.where(records.outcome == COMPLETED, records.end_s - records.arrival_s, np.inf)


def p99_of_seconds_s(records: Records) -> FloatArray:
    """For each second with arrivals, the least latency that at least 99 % of its requests do not exceed."""
    latency_s, second = _latency_s(records), records.arrival_s.astype(np.int64)
    ordered_s = latency_s[np.lexsort((latency_s, second))]
    _, first, count = np.unique(second, return_index=True, return_counts=True)  # requests are in order of arrival
    return np.asarray(ordered_s[first + count - 1 - count // 100])


def _histogram(latency_s: FloatArray) -> IntArray:
    """The number of latencies in each bin; infinite ones do not count."""
    edges_s = latency_edges_s()
    place = np.searchsorted(edges_s, latency_s[np.isfinite(latency_s)], side="left")
    return np.bincount(np.minimum(place, len(edges_s) - 1), minlength=len(edges_s))


def _decided(run: Run) -> tuple[FloatArray, list[Configuration], FloatArray]:
    """Since when each configuration was decided, the configurations, and the forecasts for them."""
    entries = run.entries
    since_s = [entry.observation.time_s for entry in entries]
    configurations: list[Configuration] = [entry.decision.configuration for entry in entries]
    forecasts = [entry.decision.forecast_rps for entry in entries]
    if not entries or entries[0].observation.step > 0:
        since_s.insert(0, 0.0)
        configurations.insert(0, run.initial)
        forecasts.insert(0, None)
    return np.array(since_s), configurations, np.array([np.nan if value is None else value for value in forecasts])


def _timeline(
    run: Run, since_s: FloatArray, configurations: list[Configuration], forecast_rps: FloatArray
) -> FloatArray:
    records, duration_s = run.records, run.trace.duration_s
    edges_s = bin_edges(duration_s, bin_s(duration_s))
    widths_s = np.diff(edges_s)
    number = bin_numbers(records.arrival_s, edges_s)
    in_time = (records.outcome == COMPLETED) & (records.end_s - records.arrival_s <= run.summary["sla_s"])
    requests = np.bincount(number, minlength=len(widths_s))
    cores = np.array([configured_cores(configuration) for configuration in configurations], dtype=np.float64)
    accuracy = np.array([configured_accuracy(run.pipeline, configuration) for configuration in configurations])
    price = run.scenario.price_per_core
    return np.array(
        [
            edges_s[:-1],
            requests / widths_s,
            forecast_rps[np.searchsorted(since_s, edges_s[:-1], side="right") - 1],
            price * _bin_means(since_s, cores, edges_s),
            100.0 * _bin_means(since_s, accuracy, edges_s),
            price * _existing_cores(records, edges_s),
            requests,
            np.bincount(number[~in_time], minlength=len(widths_s)),
            _violated_seconds(records.arrival_s, in_time, edges_s),
        ]
    )


def _bin_means(since_s: FloatArray, value: FloatArray, edges_s: FloatArray) -> FloatArray:
    """The bin means of a figure that is value[i] from since_s[i] on; the first begins with the first bin."""
    moments_s = np.append(since_s, edges_s[-1])
    integral = np.concatenate([[0.0], np.cumsum(np.diff(moments_s) * value)])
    return np.asarray(np.diff(np.interp(edges_s, moments_s, integral)) / np.diff(edges_s))


def _existing_cores(records: Records, edges_s: FloatArray) -> FloatArray:
    """The mean cores of existing replicas in each bin."""
    total = np.zeros(len(edges_s))
    for replicas in records.replicas:
        created_s = np.nan_to_num(replicas.created_s, nan=np.inf)
        gone_s = np.nan_to_num(replicas.gone_s, nan=np.inf)
        # Core-seconds of each replica up to each edge; shape (edges, replicas).
        lived_s = np.clip(edges_s[:, None], created_s, np.maximum(gone_s, created_s)) - created_s
        total += np.nan_to_num(lived_s, nan=0.0, posinf=0.0, neginf=0.0) @ replicas.cores
    return np.asarray(np.diff(total) / np.diff(edges_s))


def _violated_seconds(arrival_s: FloatArray, in_time: np.ndarray, edges_s: FloatArray) -> IntArray:
    """The number of violated seconds in each bin; see `ipa.sim.summary.violated_seconds`."""
    second = arrival_s.astype(np.int64)
    arrived = np.bincount(second)
    violating = np.bincount(second[~in_time], minlength=len(arrived))
    violated_s = np.flatnonzero(100 * violating > arrived).astype(np.float64)
    return np.bincount(bin_numbers(violated_s, edges_s), minlength=len(edges_s) - 1)


def _configurations(
    since_s: FloatArray, configurations: list[Configuration], duration_s: float
) -> list[DecidedConfiguration]:
    """The decided configurations, batch sizes ignored; the one longest in force first."""
    lasting_s = np.diff(np.append(since_s, duration_s)).tolist()
    shares: dict[tuple[tuple[str, ...], tuple[int, ...], float], float] = {}
    for configuration, lasted_s in zip(configurations, lasting_s, strict=True):
        stages = configuration.values()
        cores = float(configured_cores(configuration))
        name = tuple(stage.variant for stage in stages), tuple(stage.replicas for stage in stages), cores
        shares[name] = shares.get(name, 0.0) + lasted_s / duration_s
    decided = [DecidedConfiguration(*name, share) for name, share in shares.items()]
    return sorted(decided, key=lambda stage: (-stage.share, stage.text, stage.cores))
