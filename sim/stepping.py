"""A run that is gone through step by step: whoever steps decides at each control step, a policy or anything else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from ipa.policies import Configuration
from ipa.sim import engines
from ipa.sim.backend import SimulatedBackend
from ipa.sim.interface import Engine, Handover
from ipa.sim.load_view import LoadView
from ipa.sim.model import FloatArray, StageModel, World


@dataclass(frozen=True)
class Stepped:
    """A run that stands at time 0 with a configuration ready; go through its `steps` once."""

    engine: Engine
    backend: SimulatedBackend
    interval_s: float

    def steps(self) -> Iterator[float]:
        """The times [s] of the control steps, `interval_s` apart and before the duration ends.

        At each of them the backend can be observed, and a configuration applied; after the last the run ends.
        """
        duration_s = self.engine.world.duration_s
        moments = (step * self.interval_s for step in count(1))
        return self.engine.steps(takewhile(lambda time_s: time_s < duration_s, moments))


def stepped(
    pipeline: str,
    models: Sequence[StageModel],
    world: World,
    arrivals_s: FloatArray,
    load: LoadView,
    initial: Configuration,
    seed: int,
    *,
    engine: str = "auto",
    interval_s: float = 10.0,
    limit_cores: int | None = None,
    fields: Collection[str] = (),
    receive: Callable[[Handover], object] | None = None,
    mixes: bool = False,
) -> Stepped:
    """A run on the arrivals, shape (requests,), sorted, in [0, duration), of which control steps see `load`.

    `fields`: the costly fields to include in observations. With `receive`, the engine hands over what happens instead
    of keeping it. `mixes`: whether configurations may mix variants within a stage.

    Raises EngineError for an engine that cannot run here.
    """
    name = engines.choose_engine(engine)
    built = engines.create_engine(name, models, world, arrivals_s, initial, seed, receive, mixes=mixes)
    return Stepped(built, SimulatedBackend(built, load, pipeline, seed, limit_cores, fields), interval_s)
