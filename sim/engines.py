"""The choice between the two engines, each of which is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ipa.errors import InputError
from ipa.policies import StageConfiguration
from ipa.sim.interface import Engine, Handover
from ipa.sim.model import FloatArray, StageModel, World

ENGINES = ("auto", "simpy", "compiled")
"""What may be asked for. auto: the compiled engine if numba is installed, else the SimPy engine."""

RECORDS = ("all", "sample", "none")
"""Which requests a run may keep records of."""


class EngineError(InputError):
    """An engine that does not exist, or that cannot run here."""


def choose_engine(wanted: str, records: str = "all") -> str:
    """The engine to run, "simpy" or "compiled", where `wanted` is asked for. Both give the same records, bit for bit.

    `records`: which requests to keep records of, one of `RECORDS`. The SimPy engine always keeps all of them.

    Raises EngineError for a name that is not in `ENGINES`, for the compiled engine where numba is missing, and for the
    SimPy engine where not all records are wanted.
    """
    if wanted not in ENGINES:
        raise EngineError(f"engine {wanted!r}; allowed: {', '.join(ENGINES)}")
    if wanted == "simpy":
        if records != "all":
            raise EngineError(f"records: {records} needs the compiled engine, and engine is simpy; allowed: all")
        return wanted
    try:
        import ipa.sim.compiled  # noqa: F401
    except ImportError as error:
        if wanted == "auto" and records == "all":
            return "simpy"
        if wanted == "auto":
            raise EngineError(
                f"records: {records} needs the compiled engine, which needs numba: {error}; install it with "
                "pip install 'ipa-pipelines[compiled]', or keep all records"
            ) from None
        raise EngineError(
            f"engine 'compiled' needs numba: {error}; install it with pip install 'ipa-pipelines[compiled]', "
            "or use engine simpy, which gives the same results"
        ) from None
    return "compiled"


def create_engine(
    engine: str,
    models: Sequence[StageModel],
    world: World,
    arrivals_s: FloatArray,
    initial: Mapping[str, StageConfiguration],
    seed: int,
    receive: Callable[[Handover], object] | None = None,
) -> Engine:
    """An engine by the name that `choose_engine` gave, ready to run once.

    With `receive`, it is the compiled engine in any case, and hands over what happens instead of keeping it.
    """
    if receive is not None:
        from ipa.sim.compiled import StreamedEngine

        return StreamedEngine(models, world, arrivals_s, initial, seed, receive)
    if engine == "compiled":
        from ipa.sim.compiled import CompiledEngine

        return CompiledEngine(models, world, arrivals_s, initial, seed)
    from ipa.sim.events import SimPyEngine

    return SimPyEngine(models, world, arrivals_s, initial, seed)
