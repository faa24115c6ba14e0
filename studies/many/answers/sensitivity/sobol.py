"""Sobol's indices by SALib, if the settings are a Saltelli sample.

Such a sample consists of blocks: a row of a matrix A; for every key, that row with the key's value from a matrix B;
possibly, for every key, the row of B with the key's value from A; and the row of B (Saltelli et al., Computer Physics
Communications 181, 2010). `SALib.sample.sobol` makes one.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from ipa.sim import FloatArray, IntArray


def is_installed() -> bool:
    """Whether SALib is installed."""
    return find_spec("SALib") is not None


def is_saltelli(codes: IntArray) -> bool:
    """Whether settings, in their order, are a Saltelli sample. `codes`: shape (settings, keys)."""
    return _block(codes) > 0


def indices(codes: IntArray, outcome: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """For each key, the first index, the total one, and half the bootstrap 95 % interval of the total one."""
    from SALib.analyze.sobol import analyze

    keys = codes.shape[1]
    problem = {"num_vars": keys, "names": [str(key) for key in range(keys)], "bounds": [[0.0, 1.0]] * keys}
    found = analyze(problem, outcome, calc_second_order=_block(codes) == 2 * keys + 2, num_resamples=200, seed=1)
    return tuple(np.asarray(found[name], dtype=np.float64) for name in ("S1", "ST", "ST_conf"))  # type: ignore[return-value]


def _block(codes: IntArray) -> int:
    """The number of settings in a block; 0 if they are not a Saltelli sample."""
    settings, keys = codes.shape
    for size in (2 * keys + 2, keys + 2):
        if keys > 1 and settings >= 8 * size and settings % size == 0 and _has_blocks(codes.reshape(-1, size, keys)):
            return int(size)
    return 0


def _has_blocks(blocks: IntArray) -> bool:
    keys = blocks.shape[2]
    first, last = blocks[:, 0], blocks[:, -1]
    for key in range(keys):
        crossed = first.copy()
        crossed[:, key] = last[:, key]
        if not np.array_equal(blocks[:, 1 + key], crossed):
            return False
        if blocks.shape[1] == 2 * keys + 2:
            crossed = last.copy()
            crossed[:, key] = first[:, key]
            if not np.array_equal(blocks[:, 1 + keys + key], crossed):
                return False
    return True
