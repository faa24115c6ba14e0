"""How functions are compiled, and where the result is kept so that later processes only load it."""

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

# Nothing is allocated, so arrays need no reference counts: those would cost more than all the rest.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}

_FOLDER = Path(__file__).parent
_SOURCES = (_FOLDER.parent / "rules.py", _FOLDER.parent / "streams.py", *sorted(_FOLDER.glob("*.py")))


def inner(function: F) -> F:
    """`function`, compiled for calls from compiled functions."""
    compiled: Any = njit(**_INNER)(function)
    return compiled


def small(function: F) -> F:
    """The same, copied into its callers: for what is short or called once, as every function takes time to compile."""
    compiled: Any = njit(**_INNER, inline="always")(function)
    return compiled


def hot(function: F) -> F:
    """The same, merged into its callers by LLVM, which pays where every event goes through it."""
    compiled: Any = njit(**_INNER, forceinline=True)(function)
    return compiled


def entry(function: F) -> F:
    """`function`, compiled for calls from Python and cached on disk.

    Where nothing can be written, neither beside the sources nor in the user's cache folder, each process compiles anew.
    """
    compiled: Any = njit(**_OPTIONS)(function)
    compiled._compile_for_args = _undisturbed(compiled._compile_for_args)
    try:
        compiled.enable_caching()
    except RuntimeError:
        return compiled
    # numba looks at the entry's own file alone: an edited rule must make the cache stale as well.
    compiled._cache._cache_file._source_stamp = file_digest(_FOLDER.parent, _SOURCES)
    return compiled


def _undisturbed(compile_for: Callable[..., Any]) -> Callable[..., Any]:
    """The same in less time: without garbage collection, which finds next to nothing, and with LLVM's first level of
    optimisation, whose code is within some 3 % as fast."""

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
