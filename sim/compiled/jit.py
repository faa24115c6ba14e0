"""How functions are compiled, and where the result is cached so that later processes only have to load it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import njit

from ipa.sim.sources import file_digest

_config: Any = numba.config

F = TypeVar("F", bound=Callable[..., Any])

# Nothing is allocated, so arrays need no reference counts, which would cost more than everything else together.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}

_FOLDER = Path(__file__).parent
_SOURCES = (_FOLDER.parent / "rules.py", _FOLDER.parent / "streams.py", *sorted(_FOLDER.glob("*.py")))


def inner(function: F) -> F:
    """`function`, compiled to be called from compiled functions."""
    compiled: Any = njit(**_INNER)(function)
    return compiled


def small(function: F) -> F:
    """The same, copied into its callers: for what is short or called once, as every function takes time to compile."""
    compiled: Any = njit(**_INNER, inline="always")(function)
    return compiled


def hot(function: F) -> F:
    """The same, merged into its callers by LLVM, which pays off for functions that every event goes through."""
    compiled: Any = njit(**_INNER, forceinline=True)(function)
    return compiled


def entry(function: F) -> F:
    """`function`, compiled to be called from Python and cached on disk.

    If neither the source folder nor the user's cache folder can be written to, each process compiles it anew.
    """
    compiled: Any = njit(**_OPTIONS)(function)
    compiled._compile_for_args = _undisturbed(compiled._compile_for_args)
    try:
        compiled.enable_caching()
    except RuntimeError:
        return compiled
    # numba checks only the file of the entry itself, but an edited rule must invalidate the cache as well.
    compiled._cache._cache_file._source_stamp = file_digest(_FOLDER.parent, _SOURCES)
    return compiled


def _undisturbed(compile_for: Callable[..., Any]) -> Callable[..., Any]:
    """The same in less time: without garbage collection, which would find nearly nothing, and with LLVM's first level
    of optimisation, whose code is about 3 % slower."""

    def compile_undisturbed(*arguments: Any, **named: Any) -> Any:
        was_enabled, level = gc.isenabled(), _config.OPT
        gc.disable()
        _config.OPT = type(level)(1)
        try:
            return compile_for(*arguments, **named)
        finally:
            _config.OPT = level
            if was_enabled:
                gc.enable()

    return compile_undisturbed
