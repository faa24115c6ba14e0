"""Tables of runs made by hand, and by functions whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def runs(rows: Sequence[dict[str, Any]], seeds: int = 1) -> pd.DataFrame:
    """A row a run: each of the given rows once a seed; a figure that is a list has one value a seed."""
    made = []
    for row in rows:
        for seed in range(1, seeds + 1):
            made.append({key: value[seed - 1] if isinstance(value, list) else value for key, value in row.items()})
            made[-1]["seed"] = seed
    return pd.DataFrame(made)


def grid(keys: dict[str, list[Any]], cost: Callable[..., float]) -> pd.DataFrame:
    """A run for every combination of the keys' values, with the cost that a function of them gives."""
    rows = [dict(zip(keys, values, strict=True)) for values in product(*keys.values())]
    return runs([{**row, "cost_mean_cores": cost(*row.values())} for row in rows])


def ishigami(x: FloatArray) -> FloatArray:
    """Ishigami and Homma's function of three keys in [-pi, pi], with a = 7 and b = 0.1.

    Its total indices are 0.558, 0.442 and 0.244, its first ones 0.314, 0.442 and 0.
    """
    return np.asarray(np.sin(x[:, 0]) + 7.0 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0]))


ISHIGAMI_TOTAL, ISHIGAMI_FIRST = (0.558, 0.442, 0.244), (0.314, 0.442, 0.0)


def sampled(x: FloatArray, cost: FloatArray) -> pd.DataFrame:
    """A run for each row of a sample of keys `policy.x0`, `policy.x1`, ..."""
    table = pd.DataFrame(x, columns=[f"policy.x{key}" for key in range(x.shape[1])])
    return table.assign(seed=1, cost_mean_cores=cost)
