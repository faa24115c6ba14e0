"""On what is run: windows of loads, settings and systems; each a part of a scenario."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import click
import numpy as np

from ipa import traces

PIPELINES = ("video", "audio-qa", "audio-sent", "sum-qa", "nlp")
DAY_S = 86_400
LENGTH_S = 1200
EMPTY_S = 60
"""A window with more seconds without a request lies in a gap of the recording, and is left out."""
DEVELOPMENT, TEST = (DAY_S, 14 * DAY_S), (14 * DAY_S, 21 * DAY_S)
"""The parts of the Twitter trace. The first day of the development part has no day before it to learn from."""
DRAWN = {
    "development": (DEVELOPMENT, 24, 1),
    "more": (DEVELOPMENT, 48, 11),
    "wide": (DEVELOPMENT, 200, 12),
    "test": (TEST, 16, 2),
    "again": (TEST, 20, 3),
    **{f"once-{seed}": (TEST, 16, seed) for seed in range(4, 15)},
}
"""The part, how many windows are drawn from it, and the seed that draws them."""
ONCE = tuple(part for part in DRAWN if part.startswith("once"))
APART_FROM = {"again": ("test",), **{part: ("test", "again", *ONCE[:place]) for place, part in enumerate(ONCE)}}
"""Parts of which no second is in these others, nor in a published window."""
AZURE_SCALE = 2.0

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "published": {
        "start": "configured",
        "decision_delay_s": 2.0,
        "arrivals": "clumped",
        "dispatch": "eager",
        "drop": "batch",
    },
}
"""Own defaults, and those of the published runs (`studies/paper/common.yaml`)."""

OURS, BOUND = "foresight", "oracle"
SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "ipa": {},
    "scale-only:low": {},
    "scale-only:high": {},
    "switch-only": {},
    "rate": {},
    "rate:high": {},
    "hpa": {"interval_s": 15.0},
    "hpa:high": {"interval_s": 15.0},
    "kpa": {"interval_s": 2.0},
    "kpa:high": {"interval_s": 2.0},
    "inferline": {"interval_s": 2.0},
    "inferline:high": {"interval_s": 2.0},
}
"""All other causal systems with the interval that each is meant for."""


@dataclass(frozen=True)
class Window:
    """A load: the keys of a scenario that say which."""

    name: str
    keys: Mapping[str, Any]


def trace_path() -> str:
    """Where the Twitter trace is."""
    real = traces.default_path(os.environ)
    if real is None:
        raise click.ClickException(f"{traces.TRACE_VARIABLE} should name the Twitter trace (docs/traces.md)")
    return str(real)


@cache
def windows(part: str) -> list[Window]:
    """The windows of a part: `development`, `more` and `wide` of that, `test` (which has the published ones too),
    `again` and `once-4` to `once-14` (`APART_FROM` the parts before), or `azure`."""
    path = trace_path()
    if part == "azure":
        path = path.replace("twitter-2018-04.txt.xz", "azure-llm-2023-conv.csv.xz")
        spans = [(0, LENGTH_S), (LENGTH_S, 2 * LENGTH_S), (2303, 3503)]
        thinned = {"trace": path, "scale": AZURE_SCALE, "scaling": "thin"}
        return [Window(f"azure:{start}", {**thinned, "window": (span,)}) for span in spans for start in span[:1]]
    span, number, seed = DRAWN[part]
    counts = traces.find(path).per_second()
    starts = np.arange(span[0], span[1] - LENGTH_S + 1, LENGTH_S)
    full = [start for start in starts.tolist() if (counts[start : start + LENGTH_S] == 0).sum() <= EMPTY_S]
    if part in APART_FROM:
        known = [span for spans in traces.WINDOWS.values() for span in spans]
        known += [span for other in APART_FROM[part] for each in windows(other) for span in each.keys.get("window", ())]
        full = [start for start in full if all(start + LENGTH_S <= first or end <= start for first, end in known)]
    drawn = sorted(np.random.default_rng(seed).choice(full, number, replace=False).tolist())
    found = [
        Window(
            f"day {start / DAY_S:.2f}", {"trace": path, "scale": traces.SCALE, "window": ((start, start + LENGTH_S),)}
        )
        for start in drawn
    ]
    if part == "test":
        found = [*(Window(name, {"trace": f"twitter:{name}"}) for name in traces.NAMES), *found]
    return found
