"""Times of tokens at a stage of language models: to the first, and for each further one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ipa.profiles import Pipeline
from ipa.sim.records import Records

QUANTILES = {"p50": 0.5, "p99": 0.99}


def token_times(pipeline: Pipeline, records: Records) -> Mapping[str, float | None]:
    """`ttft_p50_s`, `ttft_p99_s`, `tpot_p50_s` and `tpot_p99_s` [s]; empty without a stage of language models.

    They are those of the last such stage, which answers: of its requests (in a graph, items) that finished there. The
    time to first token counts from when a request came to the stage; the time per further token is of those that have
    more than one. None if there are none.
    """
    positions = [position for position, stage in enumerate(pipeline.stages) if stage.tokens is not None]
    if not positions:
        return {}
    position = positions[-1]
    part, row = (records.items[position], 0) if records.items else (records, position)
    log = part.tokens[row] if part.tokens else None
    times_s: dict[str, np.ndarray] = dict.fromkeys(("ttft", "tpot"), np.empty(0))
    if log is not None:
        finish_s = part.finish_s[row]
        ended = np.isfinite(finish_s) & np.isfinite(log.first_s)
        further = ended & (log.output > 1)
        times_s["ttft"] = (log.first_s - part.enqueue_s[row])[ended]
        times_s["tpot"] = (finish_s - log.first_s)[further] / (log.output[further] - 1)
    return {
        f"{time}_{name}_s": float(np.quantile(values, level)) if len(values) else None
        for time, values in times_s.items()
        for name, level in QUANTILES.items()
    }
