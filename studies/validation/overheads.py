"""Overheads: the time that a live run takes beyond the profile, measured from its tables and given to simulations.

The emulated service time of every batch is known exactly: the k-th batch started at a stage takes the k-th draw
of that stage's stream. The dispatch overhead is the time that its replica was occupied beyond that. What a language
model takes for a request depends on those that it has at once: a simulated replica is given the same ones at the same
moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ipa.sim import ServiceTime, StageModel, standard_normals, stream
from ipa.studies.runs.profiling import language_fit, measured_requests
from ipa.studies.validation.decisions import accepted
from ipa.studies.validation.figures import (
    JUDGED_UP_TO,
    FloatArray,
    Tables,
    Windows,
    busiest,
    visits_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from ipa.profiles import Graph

IntArray = npt.NDArray[np.int64]

TRIMMED = 0.05
"""The share of the smallest and of the largest values that a mean leaves out, against single stalls."""

QUIET_S = 10.0
"""The width of the windows that are classified as quiet or busy [s]."""


@dataclass(frozen=True)
class MeasuredDelay:
    """One overhead [s]: the value to use, and its distribution; `count` 0: it was not observed.

    For batches the value is the median over those that started in quiet windows, if there are any; verdicts are about
    these windows. A mean would carry the stalls of one run into all. For a hop it is the trimmed mean; for events that
    are few per run (changes of replicas), and for the lateness of arrivals, which should be in the right second, the
    median.
    """

    value_s: float
    median_s: float
    p99_s: float
    count: int

    @classmethod
    def of(cls, values_s: FloatArray, *, trimmed: bool = False) -> MeasuredDelay:
        """From all observed values, by their trimmed mean or their median; 0 s if there are none."""
        values_s = values_s[np.isfinite(values_s)]
        if not len(values_s):
            return cls(0.0, 0.0, 0.0, 0)
        from scipy.stats import trim_mean

        median_s, p99_s = map(float, np.quantile(values_s, (0.5, 0.99)))
        return cls(float(trim_mean(values_s, TRIMMED)) if trimmed else median_s, median_s, p99_s, len(values_s))


@dataclass(frozen=True)
class Overheads:
    """The overheads of one run, named as the scenario's keys.

    `dispatch_by_stage`: the first, by stage. A stage of language models has none; `generation_by_stage` says how much
    longer its requests took than simulated.

    `arrival_s`, from the moment a request was due until it entered the first stage's queue, is not a key of scenarios.
    Simulated requests arrive so much later, because policies count arrivals by the second.
    """

    dispatch_overhead_s: MeasuredDelay
    hop_s: MeasuredDelay
    start_up_extra_s: MeasuredDelay
    decision_delay_s: MeasuredDelay
    stop_s: MeasuredDelay
    arrival_s: MeasuredDelay
    dispatch_by_stage: Mapping[str, MeasuredDelay]
    generation_by_stage: Mapping[str, MeasuredDelay]

    KEYS = ("dispatch_overhead_s", "hop_s", "start_up_extra_s", "decision_delay_s", "stop_s")

    def values(self) -> dict[str, float]:
        """The values for a scenario's keys [s], rounded to microseconds; at least 0."""
        return {key: max(0.0, round(getattr(self, key).value_s, 6)) for key in self.KEYS}

    @property
    def late_s(self) -> float:
        """How late simulated requests arrive [s], rounded to microseconds; at least 0."""
        return max(0.0, round(self.arrival_s.value_s, 6))


def measure_overheads(
    tables: Tables,
    models: Sequence[StageModel],
    seed: int,
    *,
    graph: Graph | None = None,
) -> Overheads:
    """Measure the overheads of a run; `models` are the stages without any overhead.

    `graph`: that of the stages, unless they are a chain.
    """
    replicas = tables["replicas"]
    late_s: FloatArray = arrivals_late_s(tables, models[0].name).to_numpy(dtype=np.float64)
    quiet = _quiet(tables)
    by_stage = {
        model.name: _dispatch_s(tables, model, _normals(tables, model.name, position, seed), quiet)
        for position, model in enumerate(models)
        if not model.language
    }
    generation_s = {model.name: _generation_s(tables, model, quiet) for model in models if model.language}
    extra_s = [_start_up_s(replicas, model) for model in models]
    return Overheads(
        dispatch_overhead_s=MeasuredDelay.of(np.concatenate([np.empty(0), *by_stage.values()])),
        hop_s=MeasuredDelay.of(
            _hops_s(visits_of(tables), _hops_between([model.name for model in models], graph)), trimmed=True
        ),
        start_up_extra_s=MeasuredDelay.of(np.concatenate(extra_s)),
        decision_delay_s=MeasuredDelay.of(_delays_s(tables["decisions"], replicas)),
        stop_s=MeasuredDelay.of(_stops_s(visits_of(tables), replicas)),
        arrival_s=MeasuredDelay.of(late_s),
        dispatch_by_stage={stage: MeasuredDelay.of(values_s) for stage, values_s in by_stage.items()},
        generation_by_stage={stage: MeasuredDelay.of(values_s) for stage, values_s in generation_s.items()},
    )


def _quiet(tables: Tables) -> Windows:
    """The windows in which no stage was near saturation; all windows if there is none."""
    moments_s = visits_of(tables)[["start_s", "finish_s"]].to_numpy(dtype=np.float64)
    every = Windows.all_of(float(np.nanmax(moments_s, initial=QUIET_S)), QUIET_S)
    is_quiet = busiest([tables], every) <= JUDGED_UP_TO
    return every.only(is_quiet) if is_quiet.any() else every


def _dispatch_s(tables: Tables, model: StageModel, normals: Sequence[float], quiet: Windows) -> FloatArray:
    """For each finished batch of a stage that started in a quiet window, the time [s] beyond its emulated service time,
    whose draws are `normals`.

    Batches of replicas that were never observed (-1) are left out.
    """
    batches = batches_of(visits_of(tables), model.name)
    batches = batches[(batches["replica"] >= 0) & quiet.holds(batches["start_s"].to_numpy(dtype=np.float64))]
    own = _replicas_of(tables, model.name)
    served_by = dict(zip(own.index, zip(own["variant"], own["cores"].astype(int), strict=True), strict=True))
    columns = batches["replica"], batches["batch_size"], batches["batch"]
    emulated_s = [
        _emulated_s(model.service[served_by[replica]], size, normals[number])
        for replica, size, number in zip(*columns, strict=True)
    ]
    took_s: FloatArray = (batches["finish_s"] - batches["start_s"]).to_numpy(dtype=np.float64)
    return took_s - np.array(emulated_s, dtype=np.float64)


def _generation_s(tables: Tables, model: StageModel, quiet: Windows) -> FloatArray:
    """For each finished request of a stage of language models that started in a quiet window, the time [s] that it took
    beyond that of a simulated replica to which the same requests come. Those of unobserved replicas (-1) are left out.
    """
    served = batches_of(visits_of(tables), model.name)
    served = served[served["replica"] >= 0].sort_values("batch").sort_values("start_s", kind="stable")
    variants = _replicas_of(tables, model.name)["variant"]
    beyond_s = [np.empty(0)]
    for replica, own in served.groupby("replica"):
        start_s, first_s, finish_s = own[["start_s", "first_token_s", "finish_s"]].to_numpy(dtype=np.float64).T
        tokens = own["input_tokens"].to_numpy(), own["output_tokens"].to_numpy()
        requests = measured_requests.MeasuredRequests(model.name, start_s, first_s, finish_s, *tokens)
        language = model.language[variants[replica]]
        _, _, simulated_s = language_fit.SimulatedReplica(language, requests).times_s(language.step)
        beyond_s.append((finish_s - start_s - simulated_s)[quiet.holds(start_s)])
    return np.concatenate(beyond_s)


def _replicas_of(tables: Tables, stage: str) -> pd.DataFrame:
    """The replicas of a stage, indexed by number."""
    replicas = tables["replicas"]
    return replicas[replicas["stage"] == stage].set_index("replica")


def _normals(tables: Tables, stage: str, position: int, seed: int) -> Sequence[float]:
    """The draws of a stage's batches, by number."""
    visits = visits_of(tables)
    started = visits["batch"][visits["stage"] == stage]
    most = int(started.max()) + 1 if len(started) else 0
    return list(islice(standard_normals(stream(seed, "service", position)), most))


def _emulated_s(service: ServiceTime, size: int, normal: float) -> float:
    sigma = service.sigma[size] if service.sigma is not None else 0.0
    return float(service.latency_s[size] * np.exp(sigma * normal - 0.5 * sigma * sigma))


def arrivals_late_s(tables: Tables, first: str) -> pd.Series[Any]:
    """For each request the time [s] from its due time to its enqueueing at the first stage; NaN if it never was."""
    stages = visits_of(tables)
    enqueue_s = stages[stages["stage"] == first].set_index("request")["enqueue_s"]
    return enqueue_s - tables["requests"].set_index("request")["arrival_s"]


def _hops_between(names: Sequence[str], graph: Graph | None) -> dict[str, list[str]]:
    """Stage -> the stages before it; stages with a `wait` join are left out, as they wait on purpose."""
    if graph is None:
        return {after: [before] for before, after in pairwise(names)}
    waits = {stage for stage, join in graph.joins.items() if join.kind == "wait"}
    into = {name: [edge.parent for edge in graph.into(name)] for name in names if name not in waits}
    return {name: before for name, before in into.items() if before}


def _hops_s(visits: pd.DataFrame, stages_before: Mapping[str, Sequence[str]]) -> FloatArray:
    """For each visit the time [s] from the request's latest finish at a stage before until its enqueueing here."""
    import pandas as pd

    hops_s = [np.empty(0)]
    for after, before in stages_before.items():
        came = visits[visits["stage"] == after][["request", "enqueue_s"]].dropna().sort_values("enqueue_s")
        went = visits[visits["stage"].isin(before)][["request", "finish_s"]].dropna().sort_values("finish_s")
        hops = pd.merge_asof(came, went, left_on="enqueue_s", right_on="finish_s", by="request")
        hops_s.append((hops["enqueue_s"] - hops["finish_s"]).to_numpy(dtype=np.float64))
    return np.concatenate(hops_s)


def _start_up_s(replicas: pd.DataFrame, model: StageModel) -> FloatArray:
    """For each replica created during the run that became ready, the start-up time [s] beyond the profile's."""
    own = replicas[(replicas["stage"] == model.name) & (replicas["created_s"] > 0.0)]
    profiled_s = np.array([model.start_up_s[variant] for variant in own["variant"]])
    took_s: FloatArray = (own["ready_s"] - own["created_s"]).to_numpy(dtype=np.float64)
    extra_s: FloatArray = took_s - profiled_s
    return extra_s


def _delays_s(decisions: pd.DataFrame, replicas: pd.DataFrame) -> FloatArray:
    """The time [s] from each accepted, changed decision to the first replica created or removed before the next one."""
    decisions = accepted(decisions)
    made_s = decisions.drop_duplicates("step")["time_s"].to_numpy(dtype=np.float64)
    configurations = (
        decisions.set_index(["step", "stage"])[["variant", "replicas", "cores"]].astype(str).unstack("stage")
    )
    changed = np.flatnonzero((configurations != configurations.shift()).to_numpy().any(axis=1))[1:]
    moments_s = np.sort(np.concatenate([replicas["created_s"].to_numpy(), replicas["removed_s"].to_numpy()]))
    ends_s = np.append(made_s[1:], np.inf)
    delays_s = []
    for step in changed:
        after = moments_s[(moments_s >= made_s[step]) & (moments_s < ends_s[step])]
        delays_s.extend(after[:1] - made_s[step])
    return np.array(delays_s, dtype=np.float64)


def _stops_s(stages: pd.DataFrame, replicas: pd.DataFrame) -> FloatArray:
    """For each replica that is gone, the time [s] since its removal or its last batch, whichever was later."""
    last_s = stages[stages["batch"] >= 0].groupby(["stage", "replica"], observed=True)["finish_s"].max()
    pairs = list(zip(replicas["stage"], replicas["replica"], strict=True))
    finish_s = last_s.reindex(pairs).to_numpy(dtype=np.float64)
    since_s = np.fmax(replicas["removed_s"].to_numpy(dtype=np.float64), finish_s)
    gone_s: FloatArray = replicas["gone_s"].to_numpy(dtype=np.float64)
    stops_s: FloatArray = gone_s - since_s
    return stops_s


# ---- batches ----


def batches_of(stages: pd.DataFrame, stage: str) -> pd.DataFrame:
    """The finished batches of a stage, a row each."""
    served = stages[(stages["stage"] == stage) & np.isfinite(stages["finish_s"].to_numpy())]
    batches: pd.DataFrame = served.drop_duplicates("batch")
    return batches
