"""The laws of a stage of language models, on a run's records: see `ipa.sim.laws`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ipa.sim.model import FloatArray
from ipa.sim.records import Records

_TOLERANCE = 1e-9


def violations(records: Records, stage: int, left_s: FloatArray) -> Iterator[str]:
    """The laws that the stage breaks. `left_s`: when each request left it; NaN if it did not. Shape (requests,)."""
    name, log, steps = records.stages[stage], records.tokens[stage], records.steps[stage]
    assert log is not None
    assert steps is not None
    start_s, finish_s = records.start_s[stage], records.finish_s[stage]
    has_finished, has_first = np.isfinite(finish_s), np.isfinite(log.first_s)
    if not np.array_equal(has_finished, log.generated == log.output):
        yield f"L15: at stage {name} a request has finished without exactly its output tokens"
    if (
        np.any(has_first != (log.generated > 0))
        or np.any(log.first_s < start_s)
        or np.any(log.first_s[has_finished] > finish_s[has_finished])
    ):
        yield f"L15: at stage {name} a first token came outside the time in which its request was served"
    for most, limit, things in (
        (steps.most_tokens, steps.tokens, "tokens were computed in a step"),
        (steps.most_blocks, steps.blocks, "blocks were in use"),
        (steps.most_sequences, steps.sequences, "sequences ran"),
    ):
        if np.any(most > limit):
            yield f"L16: at stage {name} more {things} than a replica allows"
    served = np.flatnonzero(records.replica[stage] >= 0)
    served = served[np.lexsort((records.batch[stage][served], records.replica[stage][served]))]
    begins = np.flatnonzero(np.diff(records.replica[stage][served], prepend=-1))
    until_s = np.where(np.isnan(left_s), records.run_end_s, left_s)
    busy_s = np.zeros(len(steps.stepped_s))
    for members in np.split(served, begins[1:]) if len(served) else []:
        from_s, to_s = start_s[members], until_s[members]
        if _too_many_at_once(records.configured[stage], from_s, to_s):
            yield f"L4: at stage {name} a replica had more requests at once than the batch size in force"
        busy_s[records.replica[stage][members[0]]] = _union_s(from_s, to_s)
    if np.any(np.abs(busy_s - steps.stepped_s) > _TOLERANCE * (1.0 + records.run_end_s)):
        yield f"L17: at stage {name} steps overlap, or a replica that had requests made none"


def _too_many_at_once(configured: tuple[tuple[float, int], ...], from_s: FloatArray, to_s: FloatArray) -> bool:
    """Whether a replica, when a request came, had more than allowed; requests are in the order in which they came."""
    since_s, sizes = (np.array(column) for column in zip(*configured, strict=True))
    first = np.maximum(np.searchsorted(since_s, from_s, side="left") - 1, 0)
    last = np.searchsorted(since_s, from_s, side="right") - 1
    gone = np.searchsorted(np.sort(to_s), from_s, side="right")
    present = np.arange(1, len(from_s) + 1) - gone
    # Within one instant, a request may come before or after a change, so both sizes are in force.
    return bool(np.any((present > np.maximum(sizes[first], sizes[last])) & (last - first <= 1)))


def _union_s(from_s: FloatArray, to_s: FloatArray) -> float:
    """For how long at least one request was there; `from_s` ascends."""
    covered_s = np.maximum.accumulate(np.concatenate([[-np.inf], to_s[:-1]]))
    return float(np.sum(np.maximum(to_s - np.maximum(from_s, covered_s), 0.0)))
