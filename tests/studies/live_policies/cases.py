"""What is run: five policies on three pipelines, four minutes of two loads each, live on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ipa import Scenario
from ipa.studies import BASELINES

PIPELINES = ("video", "audio-qa", "sum-qa")
WINDOWS = {"bursty": "330:570", "fluctuating": "630:870"}
"""Of the Twitter trace: seconds with the rise to five times the load; in the second it falls again."""
SCALE = 0.5
"""3 to 14 requests a second: replicas wait and do not compute, but gateway, servers and load generator do."""


POLICIES = BASELINES


class Case(NamedTuple):
    """One live run."""

    pipeline: str
    window: str
    policy: str

    def scenario(self) -> Scenario:
        """The scenario, with seed 1."""
        values = {
            "policy": self.policy,
            "trace": f"twitter:{self.window}",
            "window": WINDOWS[self.window],
            "scale": SCALE,
            "scaling": "floor",
        }
        return Scenario(pipeline=self.pipeline).with_values(values)

    def command(self, folder: Path) -> list[str]:
        """The arguments of `ipa` for this run, whose results go to `folder`."""
        what = ["live", "run", self.pipeline, "--policy", self.policy, "--trace", f"twitter:{self.window}"]
        return [
            *what,
            "--window",
            WINDOWS[self.window],
            "--scale",
            str(SCALE),
            "--set",
            "scaling=floor",
            "--out",
            str(folder),
            "--quiet",
        ]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return re.sub(r"\W", "-", "-".join(self))


def cases() -> Iterator[Case]:
    """All of them; those that are compared with each other lie next to each other."""
    yield from (Case(*each) for each in product(PIPELINES, WINDOWS, POLICIES))
