"""From the word of --on to where runs are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ipa.studies.many.local import Local
from ipa.studies.many.luggage import Luggage
from ipa.studies.many.runner import Place
from ipa.studies.scenario import ScenarioError

LOCAL = "local"


def check(on: str) -> None:
    """Raise ScenarioError for a word that names no place, or one for which a package is missing."""
    if on != LOCAL and _scheduler(on) and find_spec("distributed") is None:
        raise ScenarioError(f"--on {on} needs distributed: pip install '.[dask]' in the checkout")


@contextmanager
def opened(
    on: str, jobs: int, luggage: Callable[[], Luggage], say: Callable[[str], object] = lambda _: None
) -> Iterator[Place]:
    """The place of that name: `local`, with `jobs` processes, or a cluster that is there, reached until the block ends.

    `luggage` gives what goes to a cluster; `say` is told what people should know of workers. Raises ScenarioError
    as `check`, WorkerError for a cluster that cannot be reached or whose program is another.
    """
    check(on)
    if on == LOCAL:
        yield Local(jobs, say)
        return
    from ipa.studies.many import on_dask

    with on_dask.connected(_scheduler(on), luggage(), say) as place:
        yield place


def _scheduler(on: str) -> str:
    """HOST:PORT of a Dask cluster's scheduler."""
    found = re.fullmatch(r"dask://([^\s/@]+:\d+)/?", on)
    if found is None:
        raise ScenarioError(f"--on {on}: should be {LOCAL} or dask://HOST:PORT")
    return found[1]
