"""The tidy tables of a run. Times are in seconds, NaN if an event never happened; names are categories."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ipa.policies import Configuration, Entry
from ipa.profiles import Pipeline
from ipa.sim.interface import TokenLog
from ipa.sim.intervals import Intervals
from ipa.sim.language_model import reasons
from ipa.sim.model import FloatArray, IntArray
from ipa.sim.records import COMPLETED, DROPPED, FAILED, OUTCOMES, Records
from ipa.sim.sample import KINDS, Counted

if TYPE_CHECKING:
    import pandas as pd

Array = TypeVar("Array", FloatArray, IntArray)


def requests_table(pipeline: Pipeline, records: Records, counted: Counted | None = None) -> pd.DataFrame:
    """One row for each request: request, arrival_s, outcome, dropped_stage, end_s, latency_s, accuracy.

    Only completed requests have the last two. `accuracy` is the product of the accuracies of the variants that served
    the request (its PAS as a fraction). `counted`: what accompanies the records of a sample; it adds the column
    `sampled`. Where a stage is one of language models, `reason` says why requests failed.
    """
    import pandas as pd

    completed = records.outcome == COMPLETED
    latency_s = np.where(completed, records.end_s - records.arrival_s, np.nan)
    accuracy = served_accuracy(pipeline, records) if counted is None else counted.accuracy
    sampled = {} if counted is None else {"sampled": np.isin(records.request, counted.sample, assume_unique=True)}
    return pd.DataFrame(
        {
            "request": records.request,
            "arrival_s": records.arrival_s,
            "outcome": _named(records.outcome, OUTCOMES),
            "dropped_stage": _named(records.dropped_stage, records.stages),
            "end_s": records.end_s,
            "latency_s": latency_s,
            "accuracy": np.where(completed, accuracy, np.nan),
            **sampled,
            **_reasons(pipeline, records),
        }
    )


def _reasons(pipeline: Pipeline, records: Records) -> dict[str, Any]:
    """The column of reasons; none without language models."""
    if all(stage.tokens is None for stage in pipeline.stages):
        return {}
    reason = reasons(records) if records.reason is None else records.reason
    return {"reason": _categories([text or None for text in np.where(records.outcome == FAILED, reason, "")])}


def stages_table(records: Records, filled_s: Sequence[FloatArray] | None = None) -> pd.DataFrame:
    """One row for each request and stage it reached: when it was enqueued, started and finished, and in which batch.

    The columns are request, stage, enqueue_s, start_s, finish_s, replica, batch, batch_size. `batch` numbers a stage's
    batches in order of start; -1 if the request was not served there. If `filled_s` is given, by stage, it is added as
    a column: when the last request of the batch was enqueued, which may have no row here. Where a stage is one of
    language models, so are input_tokens, output_tokens (-1 elsewhere) and first_token_s.
    """
    import pandas as pd

    request, stage = np.nonzero(np.isfinite(records.enqueue_s.T))
    place = stage * len(records.request) + request
    counts = [len(records.request)] * len(records.stages)

    def of_reached(values: Array) -> Array:
        return values.ravel().take(place)

    filled = {} if filled_s is None else {"filled_s": of_reached(np.concatenate(filled_s))}
    return pd.DataFrame(
        {
            "request": records.request[request],
            "stage": _named(stage, records.stages),
            "enqueue_s": of_reached(records.enqueue_s),
            "start_s": of_reached(records.start_s),
            "finish_s": of_reached(records.finish_s),
            "replica": of_reached(records.replica),
            "batch": of_reached(records.batch),
            "batch_size": of_reached(records.batch_size),
            **filled,
            **{name: of_reached(column) for name, column in _tokens(records.tokens, counts).items()},
        },
        copy=False,
    )


def items_table(records: Records, filled_s: Sequence[FloatArray] | None = None) -> pd.DataFrame:
    """One row for each item of a graph, by request, then stage, then order of coming: request, stage, enqueue_s,
    start_s, finish_s, replica, batch, batch_size, as in `stages_table`, dropped_s, and what else is there."""
    import pandas as pd

    parts = records.items
    counts = [len(part.request) for part in parts]
    stage = np.repeat(np.arange(len(parts)), counts)
    request = np.concatenate([part.request for part in parts])
    order = np.lexsort((stage, request))
    logs = [part.tokens[0] if part.tokens else None for part in parts]

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name)[0] for part in parts])[order]

    left_s = np.concatenate([np.where(part.dropped_stage >= 0, part.end_s, np.nan) for part in parts])
    return pd.DataFrame(
        {
            "request": request[order],
            "stage": _named(stage[order], records.stages),
            **{name: joined(name) for name in ("enqueue_s", "start_s", "finish_s", "replica", "batch", "batch_size")},
            "dropped_s": left_s[order],
            **({} if filled_s is None else {"filled_s": np.concatenate(filled_s)[order]}),
            **{name: column[order] for name, column in _tokens(logs, counts).items()},
        },
        copy=False,
    )


def _tokens(logs: Sequence[TokenLog | None], counts: Sequence[int]) -> dict[str, Any]:
    """The columns of tokens of all stages, one after the other; none if no stage is of language models.

    `counts`: how many requests, or items, each stage has.
    """
    if all(log is None for log in logs):
        return {}
    unknown = [np.full(count, -1) for count in counts]
    nothing = [TokenLog(none, none, none, np.full(len(none), np.nan)) for none in unknown]
    of_stages = [log or none for log, none in zip(logs, nothing, strict=True)]
    return {
        name: np.concatenate([getattr(log, field) for log in of_stages])
        for name, field in (("input_tokens", "input"), ("output_tokens", "output"), ("first_token_s", "first_s"))
    }


def replicas_table(records: Records) -> pd.DataFrame:
    """One row for each replica: stage, replica, variant, cores, created_s, ready_s, removed_s, gone_s."""
    import pandas as pd

    sets = records.replicas
    counts = [len(replicas.variant) for replicas in sets]

    def joined(name: str) -> FloatArray:
        return np.concatenate([getattr(replicas, name) for replicas in sets])

    return pd.DataFrame(
        {
            "stage": _named(np.repeat(np.arange(len(sets)), counts), records.stages),
            "replica": np.concatenate([np.arange(count) for count in counts]),
            "variant": _categories([name for replicas in sets for name in replicas.variant]),
            "cores": joined("cores"),
            "created_s": joined("created_s"),
            "ready_s": joined("ready_s"),
            "removed_s": joined("removed_s"),
            "gone_s": joined("gone_s"),
        }
    )


def decisions_table(pipeline: Pipeline, initial: Configuration, entries: Sequence[Entry]) -> pd.DataFrame:
    """One row for each control step and stage: step, time_s, stage, the decision for it, then the step's figures.

    Step 0 is the configuration that was ready at the start; its `rung` is "initial" if no policy decided it.
    `cost_cores` and `accuracy` are of the whole configuration, repeated for each stage. `accepted` is False for a
    decision that the backend refused; the previous one stays in force.
    """
    import pandas as pd

    names = [stage.name for stage in pipeline.stages]
    unknown = float("nan")
    steps: list[tuple[object, ...]] = []  # a row for each step, in the order of `_STEP`
    configurations: list[Configuration] = []
    if not entries or entries[0].observation.step > 0:
        configurations.append(initial)
        steps.append((0, 0.0, unknown, unknown, unknown, None, "initial", True, True, ""))
    for entry in entries:
        decision = entry.decision
        configurations.append(decision.configuration)
        steps.append(
            (
                entry.observation.step,
                entry.observation.time_s,
                _number(decision.forecast_rps),
                _number(decision.planned_load_rps),
                _number((decision.objective or {}).get("total")),
                decision.binding,
                decision.rung,
                decision.feasible,
                not entry.is_refused,
                "; ".join(decision.notes),
            )
        )
    of_step = dict(zip(_STEP, zip(*steps, strict=True), strict=True))
    of_step["cost_cores"] = tuple(map(configured_cores, configurations))
    of_step["accuracy"] = tuple(configured_accuracy(pipeline, configuration) for configuration in configurations)
    of_stages = [configuration[name] for configuration in configurations for name in names]
    columns: dict[str, Any] = {key: [value for value in of_step[key] for _ in names] for key in of_step}
    columns["stage"] = names * len(configurations)
    for name in _OF_STAGE:
        columns[name] = [getattr(configuration, name) for configuration in of_stages]
    for name in ("stage", "variant", "binding", "rung"):
        columns[name] = _categories(columns[name])
    for name in _NUMBERS:
        columns[name] = np.array(columns[name])
    return pd.DataFrame({name: columns[name] for name in _DECISIONS}, copy=False)


_STEP = (
    *("step", "time_s", "forecast_rps", "planned_load_rps", "objective"),
    *("binding", "rung", "feasible", "accepted", "notes"),
)
_OF_STAGE = ("variant", "batch", "replicas", "cores", "batch_timeout_s")
_NUMBERS = (*_STEP[:5], *_OF_STAGE[1:], "feasible", "accepted", "cost_cores", "accuracy")
_DECISIONS = ("step", "time_s", "stage", *_OF_STAGE, "cost_cores", "accuracy", *_STEP[2:])


def intervals_table(intervals: Intervals) -> pd.DataFrame:
    """One row for each interval, which starts at `time_s`: the requests that arrived in it, and their outcomes.

    The columns are time_s, requests, quietest_rps, busiest_rps, completed, late, dropped, failed, unfinished,
    became_late, late_waiting, and in a graph answered.
    """
    import pandas as pd

    answered = {} if intervals.answered is None else {"answered": intervals.answered}
    return pd.DataFrame(
        {
            "time_s": intervals.edges_s[:-1],
            "requests": intervals.requests,
            "quietest_rps": intervals.quietest_rps,
            "busiest_rps": intervals.busiest_rps,
            "completed": intervals.completed,
            "late": intervals.late,
            "dropped": intervals.dropped,
            "failed": intervals.failed,
            "unfinished": intervals.unfinished,
            "became_late": intervals.became_late,
            "late_waiting": intervals.late_waiting,
            **answered,
        }
    )


def latencies_table(intervals: Intervals) -> pd.DataFrame:
    """One row for each interval and latency: time_s, latency_s, and how many requests of the interval had about it."""
    import pandas as pd

    return pd.DataFrame(
        {
            "time_s": intervals.edges_s[intervals.latency_interval],
            "latency_s": intervals.latency_s,
            "requests": intervals.latency_count,
        }
    )


def queues_table(intervals: Intervals) -> pd.DataFrame:
    """One row for each interval and stage: the events at the stage in the interval, and the requests at its end.

    The columns are time_s, stage, enqueued, started, finished, dropped, waiting, in_service.
    """
    import pandas as pd

    stages, count = intervals.enqueued.shape

    def by_time(values: IntArray) -> IntArray:
        return values.T.ravel()

    return pd.DataFrame(
        {
            "time_s": np.repeat(intervals.edges_s[:-1], stages),
            "stage": _named(np.tile(np.arange(stages), count), intervals.stages),
            "enqueued": by_time(intervals.enqueued),
            "started": by_time(intervals.started),
            "finished": by_time(intervals.finished),
            "dropped": by_time(intervals.dropped_at),
            "waiting": by_time(np.cumsum(intervals.enqueued - intervals.started - intervals.dropped_at, axis=1)),
            "in_service": by_time(np.cumsum(intervals.started - intervals.finished - intervals.interrupted, axis=1)),
        }
    )


def spent_table(intervals: Intervals, spent_s: FloatArray) -> pd.DataFrame:
    """One row for each stage: stage, hop_s, batch_s, queue_s, service_s, means over all completed requests.

    `spent_s`: their sums, shape (stages, kinds). The means add up to the mean latency; NaN if no request completed.
    """
    import pandas as pd

    completed = int(intervals.completed.sum())
    means_s = spent_s / completed if completed else np.full_like(spent_s, np.nan)
    columns = {f"{kind}_s": means_s[:, place] for place, kind in enumerate(KINDS)}
    return pd.DataFrame({"stage": _named(np.arange(len(spent_s)), intervals.stages), **columns})


def served_accuracy(pipeline: Pipeline, records: Records) -> FloatArray:
    """For each request, the accuracy of the variants that served it; shape (requests,).

    It is the product of the stages' accuracies or, where pairs were measured, that of the pair. NaN if a stage has not
    served the request, or it is not known which replica did. For graphs see `_items_accuracy`.
    """
    if pipeline.graph is not None:
        return _items_accuracy(pipeline, records)
    if pipeline.pair_accuracies:
        return _pair_accuracy(pipeline, records)
    accuracy = np.ones(len(records.arrival_s))
    for position, stage in enumerate(pipeline.stages):
        of_replica = np.array([stage.variant(name).accuracy for name in records.replicas[position].variant])
        replica: IntArray = records.replica[position]
        accuracy *= np.where(replica >= 0, of_replica[replica], np.nan)
    return accuracy


def _items_accuracy(pipeline: Pipeline, records: Records) -> FloatArray:
    """For each request of a graph, the accuracy of the variants that served its first items at the stages.

    At a stage that it did not reach, the variant that served the previous request there counts. A dropped item scores
    0: the accuracy is multiplied, for each stage, by the share of the request's items that were served.
    """
    count = len(records.request)
    accuracy, served_by = np.ones(count), np.zeros((len(records.items), count), dtype=np.int64)
    for position, (stage, part) in enumerate(zip(pipeline.stages, records.items, strict=True)):
        names = [variant.name for variant in stage.variants]
        of_replica = np.array([names.index(name) for name in part.replicas[0].variant])
        served, of_request = np.flatnonzero(part.replica[0] >= 0), records.places(part)
        request, first = np.unique(of_request[served], return_index=True)
        latest = np.zeros(count + 1, dtype=np.int64)
        latest[request + 1] = np.arange(1, len(request) + 1)
        variant = np.append(of_replica[0], of_replica[part.replica[0][served[first]]])
        served_by[position] = variant[np.maximum.accumulate(latest)[1:]]
        came = np.bincount(of_request, minlength=count)
        lost = np.bincount(of_request[np.isin(part.outcome, (DROPPED, FAILED))], minlength=count)
        accuracy *= np.where(came > 0, (came - lost) / np.maximum(came, 1), 1.0)
    combinations, place = np.unique(served_by, axis=1, return_inverse=True)
    of_stages = [[variant.name for variant in stage.variants] for stage in pipeline.stages]
    reached = [
        pipeline.accuracy_of([names[number] for names, number in zip(of_stages, chosen, strict=True)])
        for chosen in combinations.T.tolist()
    ]
    return accuracy * np.array(reached)[place.ravel()] if count else accuracy


def _pair_accuracy(pipeline: Pipeline, records: Records) -> FloatArray:
    names = [[variant.name for variant in stage.variants] for stage in pipeline.stages]
    of_pair = np.array([[pipeline.pair_accuracies[a][b] for b in names[1]] for a in names[0]])
    served = np.ones(len(records.arrival_s), dtype=bool)
    places = []
    for position, order in enumerate(names):
        replica: IntArray = records.replica[position]
        of_replica = np.array([order.index(name) for name in records.replicas[position].variant])
        served &= replica >= 0
        places.append(of_replica[replica])
    return np.where(served, of_pair[places[0], places[1]], np.nan)


def served_variants(records: Records) -> tuple[dict[str, int], ...]:
    """For each stage, how many completed requests, or items of these in a graph, each variant served."""
    completed = records.outcome == COMPLETED
    if not records.items:
        return tuple(
            _by_variant(replicas.variant, of_stage[completed])
            for replicas, of_stage in zip(records.replicas, records.replica, strict=True)
        )
    return tuple(
        _by_variant(part.replicas[0].variant, part.replica[0][completed[records.places(part)]])
        for part in records.items
    )


def _by_variant(variants: Sequence[str], replica: IntArray) -> dict[str, int]:
    """The requests of each variant, from the variants of replicas and the replica of each request (-1: none)."""
    counts: dict[str, int] = {}
    for name, count in zip(variants, np.bincount(replica[replica >= 0], minlength=len(variants)).tolist(), strict=True):
        if count:
            counts[name] = counts.get(name, 0) + count
    return counts


def configured_cores(configuration: Configuration) -> int:
    """The cores that a configuration asks for."""
    return sum(stage.total_cores for stage in configuration.values())


def configured_accuracy(pipeline: Pipeline, configuration: Configuration) -> float:
    """The accuracy of a configuration's variants: the product of the stages' or, where measured, that of the pair."""
    return pipeline.accuracy_of([configuration[stage.name].variant for stage in pipeline.stages])


def _named(codes: IntArray, names: Sequence[str]) -> pd.Categorical[str]:
    """The names of these codes; -1 is no name."""
    import pandas as pd

    return pd.Categorical.from_codes(codes, _index(tuple(names)), validate=False)


def _categories(values: Sequence[str | None]) -> pd.Categorical[str]:
    """Names as sorted categories; None is no name."""
    import pandas as pd

    names = sorted({value for value in values if value is not None})
    codes = {name: code for code, name in enumerate(names)}
    places = np.array([-1 if value is None else codes[value] for value in values], dtype=np.int64)
    return pd.Categorical.from_codes(places, _index(tuple(names)), validate=False)


@lru_cache(maxsize=256)
def _index(names: tuple[str, ...]) -> pd.Index[str]:
    """Names as a pandas index, cached: it takes longer to make than a column, and a pipeline's runs share it."""
    import pandas as pd

    return pd.Index(names) if names else pd.Index([], dtype=object)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
