"""How functions are compiled, and where the result is kept so that later processes only load it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

_FOLDER = Path(__file__).parent
_SOURCES = (_FOLDER.parent / "rules.py", *sorted(_FOLDER.glob("*.py")))


def inner(function: F) -> F:
    """`function`, compiled into the functions that call it."""
    compiled: F = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return compiled


def entry(function: F) -> F:
    """`function`, compiled for calls from Python and cached on disk.

    Where nothing can be written, beside the sources or in the user's own cache folder, every process compiles anew.
    """
    compiled: Any = njit(error_model="numpy")(function)
    try:
        compiled.enable_caching()
    except RuntimeError:
        return compiled  # type: ignore[no-any-return]
    # numba looks at the entry's own file alone: an edited rule must make the cache stale as well.
    compiled._cache._cache_file._source_stamp = sha256(b"".join(map(Path.read_bytes, _SOURCES))).hexdigest()
    return compiled  # type: ignore[no-any-return]
