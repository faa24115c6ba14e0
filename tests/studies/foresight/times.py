"""How long `foresight` takes to decide at 3 stages x 6 variants x 7 batches: `python -m tests.studies.foresight.times`.

The load is two hours of the Twitter trace (`IPA_TRACE`) after a day that the first decision learns from. Whatever is
decided stands ready at the next step. Processor time, the check of the decision and its memory's way through JSON
included.
"""

from __future__ import annotations

import os
from dataclasses import replace
from time import process_time

import numpy as np

from ipa import traces
from ipa.policies import Controller, Foresight, Journal, ReplicaCounts
from ipa.profiles import Defaults
from ipa.sim.load_view import LoadView
from tests.studies.foresight.cases import DAY_S
from tests.tiny import configuration, observation, pipeline, variant

STEPS, STEP_S = 720, 10


def main() -> None:
    """Print the median, the 99th percentile and the longest [ms], by what a plan above IPA's cost has to gain."""
    for gain in (0.0, 0.5, "never"):
        taken_ms = times_ms(gain)
        median, late = np.quantile(taken_ms, (0.5, 0.99))
        print(f"gain_above_ipa {gain}: {STEPS} decisions: median {median:.2f} ms, ", end="")
        print(f"99 % {late:.2f} ms, longest {max(taken_ms):.1f} ms")


def times_ms(gain: float | str) -> list[float]:
    """How long each decision takes [ms]."""
    sizes = [2**k for k in range(7)]

    def stage() -> list[object]:
        return [
            variant(f"v{k}", 0.5 + 0.05 * k, 1 + k, {b: (0.02 + 0.03 * k) * (1 + 0.6 * (b - 1)) for b in sizes})
            for k in range(6)
        ]

    large = pipeline(stage(), stage(), stage(), sla_s=6.0, published=Defaults(alpha=20.0, load_margin=0.0))  # type: ignore[arg-type]
    load = traces.find(str(traces.default_path(os.environ))).window([(3 * DAY_S, 3 * DAY_S + STEPS * STEP_S)])
    load = load.scaled(traces.SCALE)
    view = LoadView(np.repeat(np.arange(STEPS * STEP_S), load.per_second()) + 0.5, load.history_counts, 120)
    controller = Controller(large, Foresight(large, gain_above_ipa=gain), Journal())
    at_hand = dict(configuration(a=("v0", 1, 1, 1), b=("v0", 1, 1, 1), c=("v0", 1, 1, 1)))
    taken_ms = []
    for step in range(STEPS):
        time_s = float(step * STEP_S)
        ready = {name: ReplicaCounts(ready=each.replicas) for name, each in at_hand.items()}
        seen = observation(view.before(time_s), at_hand=at_hand, replicas=ready, time_s=time_s, elapsed_s=STEP_S)
        seen = replace(seen, past_rps=view.past(step, time_s))
        began_s = process_time()
        at_hand = dict(controller.decide(seen).configuration)
        taken_ms.append(1000 * (process_time() - began_s))
    return taken_ms


if __name__ == "__main__":
    main()
