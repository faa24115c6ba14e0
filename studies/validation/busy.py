"""The cores that serve batches at a moment of a live run, from its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ipa.studies.validation.windows import FloatArray

if TYPE_CHECKING:
    import pandas as pd

IntArray = npt.NDArray[np.int64]

BusyAt = Callable[[FloatArray], IntArray]
"""Moments -> the cores that serve batches which have begun before and go on."""


def busy_cores(tables: Mapping[str, pd.DataFrame]) -> BusyAt:
    """How many cores are busy at a moment, of all stages. Batches of replicas that nobody saw (-1) are left out."""
    replicas = tables["replicas"].set_index(["stage", "replica"])["cores"]
    starts: list[FloatArray] = []
    finishes: list[FloatArray] = []
    cores: list[IntArray] = []
    for stage in tables["stages"]["stage"].cat.categories:
        batches = batches_of(tables["stages"], str(stage))
        batches = batches[batches["replica"] >= 0]
        starts.append(batches["start_s"].to_numpy(dtype=np.float64))
        finishes.append(batches["finish_s"].to_numpy(dtype=np.float64))
        served_by = replicas.reindex([(stage, replica) for replica in batches["replica"]])
        cores.append(served_by.fillna(0).to_numpy(dtype=np.int64))
    begun_s, begun = _cumulated(np.concatenate(starts), np.concatenate(cores))
    ended_s, ended = _cumulated(np.concatenate(finishes), np.concatenate(cores))

    def busy_at(moment_s: FloatArray) -> IntArray:
        busy: IntArray = begun[begun_s.searchsorted(moment_s, "left")]
        return busy - ended[ended_s.searchsorted(moment_s, "right")]

    return busy_at


def batches_of(stages: pd.DataFrame, stage: str) -> pd.DataFrame:
    """The finished batches of a stage, a row each."""
    served = stages[(stages["stage"] == stage) & np.isfinite(stages["finish_s"].to_numpy())]
    batches: pd.DataFrame = served.drop_duplicates("batch")
    return batches


def _cumulated(moment_s: FloatArray, cores: IntArray) -> tuple[FloatArray, IntArray]:
    """The moments in order, and the cores of all before each, from 0."""
    order = np.argsort(moment_s, kind="stable")
    return moment_s[order], np.concatenate([[0], np.cumsum(cores[order])])
