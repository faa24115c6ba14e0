"""The choice between the two engines; each is imported when it is first used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache

from ipa.errors import InputError
from ipa.policies import StageConfiguration
from ipa.sim.interface import Engine, Handover
from ipa.sim.model import RunInput

ENGINES = ("auto", "simpy", "compiled")
"""The allowed names. auto: the compiled engine where it can run, else the SimPy engine."""


class EngineError(InputError):
    """An engine that does not exist, or that cannot run here."""


def choose_engine(engine: str) -> str:
    """The engine for a name of `ENGINES`: "simpy" or "compiled". Both give the same records, bit for bit.

    Where the compiled engine cannot run, "auto" is the SimPy engine, and a warning is logged once in a process.
    Raises EngineError for a name that is not in `ENGINES`, and for "compiled" where it cannot run.
    """
    if engine not in ENGINES:
        raise EngineError(f"engine {engine!r}; allowed: {', '.join(ENGINES)}")
    if engine == "simpy":
        return engine
    if not (obstacle := _obstacle()):
        return "compiled"
    if engine == "auto":
        _warn(obstacle)
        return "simpy"
    raise EngineError(f"engine 'compiled' {obstacle}; or use engine simpy, which gives the same results")


def must_compile(engine: str) -> bool:
    """Whether the first run with this engine name has to compile the engine."""
    if engine == "simpy":
        return False
    try:
        from ipa.sim.compiled import is_compiled
    except ImportError:
        return False
    return not is_compiled()


@cache
def _obstacle() -> str:
    """Why the compiled engine cannot run here, and what to do about it; empty if it can."""
    try:
        from ipa.sim.compiled import compile_error
    except ImportError as error:
        return f"needs numba: {error}; install it with pip install '.[compiled]' in the checkout"
    error_text = compile_error()
    return error_text and f"does not compile here: {error_text}; try another version of numba or Python"


@cache
def _warn(obstacle: str) -> None:
    logging.getLogger(__name__).warning(
        "Runs take the SimPy engine, which is slower and gives the same results: engine 'compiled' %s", obstacle
    )


def create_engine(
    engine: str,
    run_input: RunInput,
    initial: Mapping[str, StageConfiguration],
    receive: Callable[[Handover], object] | None = None,
) -> Engine:
    """The engine of a name from `choose_engine`, ready to run once.

    With `receive`, it hands over what happens instead of keeping it, except in a graph.
    """
    if engine == "compiled":
        from ipa.sim.compiled import CompiledEngine, StreamedEngine

        return CompiledEngine(run_input, initial) if receive is None else StreamedEngine(run_input, initial, receive)
    from ipa.sim.events import SimPyEngine

    return SimPyEngine(run_input, initial, receive)
