"""How functions are compiled, and where the result is cached for later processes."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import njit

from ipa.sim.sources import file_digest

_config: Any = numba.config

F = TypeVar("F", bound=Callable[..., Any])

# Compiled code allocates nothing, so arrays need no reference counts; these would cost more than everything else.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}

_FOLDER = Path(__file__).parent
_COMPILED_TOO = ("rules.py", "streams.py", "graph/draws.py")
_SOURCES = (*(_FOLDER.parent / name for name in _COMPILED_TOO), *sorted(_FOLDER.glob("*.py")))


def inner(function: F) -> F:
    """`function`, compiled to be called from compiled functions."""
    compiled: Any = njit(**_INNER)(function)
    return compiled


def small(function: F) -> F:
    """As `inner`, copied into its callers. For functions that are short or called once: each takes time to compile."""
    compiled: Any = njit(**_INNER, inline="always")(function)
    return compiled


def hot(function: F) -> F:
    """As `inner`, merged into its callers by LLVM. For functions that every event goes through."""
    compiled: Any = njit(**_INNER, forceinline=True)(function)
    return compiled


def entry(function: F) -> F:
    """`function`, compiled to be called from Python and cached on disk.

    If neither the source folder nor the user's cache folder can be written to, each process compiles it anew.
    """
    compiled: Any = njit(**_OPTIONS)(function)
    compiled.compile = _undisturbed(compiled.compile)
    try:
        compiled.enable_caching()
    except RuntimeError:
        return compiled
    cache: Any = compiled._cache._cache_file
    # numba checks only the file of the entry itself, but an edited rule must invalidate the cache as well.
    cache._source_stamp = file_digest(_FOLDER.parent, _SOURCES)
    cache._load_index = _or_nothing(cache._load_index)
    compiled.compile = _once(compiled.compile, Path(cache._index_path))
    cache.save = _one_at_a_time(cache.save, Path(cache._index_path))
    return compiled


def direct(compiled: Any, *arguments: Any) -> Callable[..., int]:
    """An `entry` for arguments of the same types as these, without the type check of every call.

    That check takes several times as long as a step in which nothing happens. An argument has the same type in all
    runs, unless it is None.
    """
    key = (compiled, *[argument is None for argument in arguments])
    if key not in _direct:
        signature = tuple(map(numba.typeof, arguments))
        compiled.compile(signature)
        _direct[key] = compiled.get_overload(signature)
    return _direct[key]


_direct: dict[tuple[Any, ...], Callable[..., int]] = {}


def is_cached(compiled: Any) -> bool:
    """Whether an `entry` has been compiled for this processor, in this process or in the cache on disk."""
    if compiled.overloads:
        return True
    cache = getattr(compiled._cache, "_cache_file", None)
    processor = compiled.targetctx.codegen().magic_tuple()
    return cache is not None and any(key[1] == processor for key in cache._load_index())


def _or_nothing(load_index: Callable[[], dict[Any, Any]]) -> Callable[[], dict[Any, Any]]:
    """The same function, but a cache index that cannot be read counts as empty.

    numba unpickles the index before it compares the stamp. That fails if a class of the older source was renamed.
    """

    def load() -> dict[Any, Any]:
        try:
            return load_index()
        except (AttributeError, ImportError, EOFError, pickle.UnpicklingError):
            return {}

    return load


def _once(compile_for: Callable[..., Any], index: Path) -> Callable[..., Any]:
    """The same compilation, but of several processes one compiles; the others wait, and find its code in the cache."""

    def compile_once(signature: tuple[Any, ...]) -> Any:
        with_none = "".join("n" if type_ == numba.types.none else "a" for type_ in signature)
        with _alone(index.with_suffix(f".{with_none}.lock")):
            return compile_for(signature)

    return compile_once


def _one_at_a_time(save: Callable[[Any, Any], None], index: Path) -> Callable[[Any, Any], None]:
    """The same function, for one process at a time.

    numba gives the codes that two processes add to an index at the same time the same file, and the index names one.
    """

    def save_alone(key: Any, code: Any) -> None:
        with _alone(index.with_suffix(".lock")):
            save(key, code)

    return save_alone


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process is in here with the same file; where a file cannot be locked, another may be."""
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl  # Unix has it

            fcntl.flock(stack.enter_context(path.open("ab")), fcntl.LOCK_EX)
        yield


def _undisturbed(compile_for: Callable[..., Any]) -> Callable[..., Any]:
    """The same compilation in less time: without garbage collection, which would find next to nothing, and with LLVM's
    first level of optimisation, whose code is about 3 % slower."""

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
