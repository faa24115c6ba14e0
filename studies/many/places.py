"""From the word of --on to where runs are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from ipa.studies.errors import ScenarioError
from ipa.studies.many.local import Local
from ipa.studies.many.luggage import Luggage
from ipa.studies.many.runner import Place

LOCAL = "local"

CLUSTERS = {"dask": ("on_dask", "distributed"), "ray": ("on_ray", "ray")}
"""Scheme -> the module here that knows such clusters, and the package that it needs."""

ALLOWED = "local, dask://HOST:PORT, ray://HOST:PORT"


def check(on: str) -> None:
    """Raise ScenarioError for a word that names no place, or one for which a package is missing."""
    if on == LOCAL:
        return
    scheme, address = _parts(on)
    package = CLUSTERS[scheme][1]
    if find_spec(package) is None:
        raise ScenarioError(f"--on {scheme}://{address} needs {package}: pip install 'ipa-pipelines[{scheme}]'")


@contextmanager
def opened(
    on: str, jobs: int, luggage: Callable[[], Luggage], say: Callable[[str], object] = lambda _: None
) -> Iterator[Place]:
    """The place of that name: `local`, with `jobs` processes, or a cluster that is there, reached until the block ends.

    `luggage` gives what goes to a cluster; `say` is told what people should know of its workers. Raises ScenarioError
    as `check`, WorkerError for a cluster that cannot be reached or whose program is another.
    """
    check(on)
    if on == LOCAL:
        yield Local(jobs)
        return
    scheme, address = _parts(on)
    module = import_module(f"{__package__}.{CLUSTERS[scheme][0]}")
    with module.connected(address, luggage(), say) as place:
        yield place


def _parts(on: str) -> tuple[str, str]:
    found = re.fullmatch(rf"({'|'.join(CLUSTERS)})://([^\s/@]+:\d+)/?", on)
    if found is None:
        raise ScenarioError(f"--on {on}: should be one of {ALLOWED}")
    return found[1], found[2]
