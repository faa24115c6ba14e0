"""How much is tried, and how the windows of a load are drawn."""

from __future__ import annotations

from dataclasses import dataclass

TRIALS = 100
"""Settings that are tried unless told."""

WINDOWS = 16
"""Windows to train on unless told."""

LENGTH_S = 1200.0
"""How long a window is unless told: as the published ones."""


@dataclass(frozen=True)
class Drawing:
    """How cases are chosen. `train` and `test`: parts of the load in seconds, None: as documented. `windows`: how many
    to train on, twice as many to test on, each of `length_s` and with `seeds` runs. `alike`: only windows like the
    named workload, for a window of the real trace; None: where the load is one."""

    train: str | None = None
    test: str | None = None
    windows: int = WINDOWS
    length_s: float | None = None
    seeds: int = 1
    alike: bool | None = None
