"""What the same seconds of yesterday and of last week would add to a forecast of the Twitter trace.

    python -m tests.studies.predictor.seasonal twitter-2018-04.txt.xz

Trees of the shipped kind learn the median and the quantile at 0.95 of the busiest of 20 s from days 8 to 12, which have
a week before them, once as they are and once with the features of `seasonal`. Days 13 and 14 stop the training.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ipa.policies.predictors.trained.network import Trees
from ipa.studies.predictor import scores, sets
from ipa.studies.predictor.fit_trees import fit
from ipa.studies.predictor.samples import Samples, _is_gap
from ipa.studies.predictor.sets import Set
from ipa.traces import read

Floats = npt.NDArray[np.float64]

DAY_S = 86_400
HORIZON_S = 20
LEVELS = (0.5, 0.95)
PARTS = {"training": (7, 12), "validation": (12, 14), "test": (14, 22)}
"""Days, without the last one."""


def samples_of(counts: Floats, first_s: int, end_s: int) -> Samples:
    """A sample every 10 s, none of them next to a gap."""
    ends = np.arange(first_s + 120, end_s - 60, 10)
    gaps = np.concatenate([[0], np.cumsum(_is_gap(counts))])
    ends = ends[gaps[ends + 60] == gaps[ends - 120]]
    return Samples(counts, ends, np.full(len(ends), HORIZON_S))


def seasonal(counts: Floats, ends: npt.NDArray[np.int64], given: Set) -> Floats:
    """Features of the same seconds a day and a week ago, relative to level and scale as the others; 0 at a gap.

    For each: the busiest second and the mean of the 20 s that followed, less the mean of the two minutes before; the
    busiest second itself; and this, and the mean of the minute that followed, if the load has the same ratio to the
    two minutes before today.
    """
    gaps = np.concatenate([[0], np.cumsum(_is_gap(counts))])
    total = np.concatenate([[0], np.cumsum(counts)])
    busiest = np.lib.stride_tricks.sliding_window_view(counts, HORIZON_S).max(axis=1)
    now = (total[ends] - total[ends - 120]) / 120
    found = []
    for lag_s in (DAY_S, 7 * DAY_S):
        then = ends - lag_s
        before = np.maximum((total[then] - total[then - 120]) / 120, 1)
        after = [(total[then + seconds] - total[then]) / seconds for seconds in (HORIZON_S, 60)]
        most = busiest[then]
        apart = (most - before, after[0] - before)
        loads = (most, most * now / before, after[1] * now / before)
        features = [each / given.scale for each in apart] + [(each - given.level) / given.scale for each in loads]
        is_whole = gaps[then + 60] == gaps[then - 120]
        found += [np.where(is_whole, each, 0.0) for each in features]
    return np.stack(found, axis=1)


def main(path: Path) -> None:
    """Print the scores on validation and test part, without and with the features."""
    counts = read(path).per_second().astype(np.float64)
    parts = {}
    for name, (first, end) in PARTS.items():
        chosen = samples_of(counts, first * DAY_S, min(end * DAY_S, len(counts)))
        parts[name] = sets.of(chosen, "quantile-gbm"), chosen.ends
    for title in ("without", "with"):
        given = {}
        for name, (plain, ends) in parts.items():
            more = [seasonal(counts, ends, plain)] if title == "with" else []
            inputs = np.hstack([plain.inputs, *more])
            given[name] = Set(inputs, plain.targets, plain.level, plain.scale)
        trees = Trees(fit(given["training"], given["validation"], LEVELS, 1, 110, lambda: None))
        for name in ("validation", "test"):
            of = given[name]
            point, high = (of.level[:, None] + of.scale[:, None] * trees(of.inputs)).T
            came = of.busiest_rps
            print(
                f"{title}, {name}: {len(came)} forecasts, SMAPE {scores.smape_percent(came, point):.2f} %, "
                f"pinball 0.95 {scores.pinball_rps(came, high, 0.95):.3f} rps, "
                f"under 0.95 {100 * scores.under_share(came, high):.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
