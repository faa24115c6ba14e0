"""Tests marked `cluster` use the cluster that KUBECONFIG names; without one they are skipped.

Those of object stores share an S3 server, and a client for each of its users: both take long to start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from s3fs import S3FileSystem

NO_CLUSTER = pytest.mark.skip(reason="no cluster: KUBECONFIG is not set")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("cluster") and "KUBECONFIG" not in os.environ:
            item.add_marker(NO_CLUSTER)


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The shared server, with what other tests have left there."""
    from tests.live.serving.models_world import s3_server

    with s3_server(tmp_path_factory.mktemp("moto")) as url:
        yield url


Opened = Callable[..., "S3FileSystem"]


@pytest.fixture(scope="session")
def shared_client() -> Opened:
    """As `store.opened`, but each user's client is made once; it remembers nothing of what it has seen there."""
    from ipa.live.kubernetes.store import ATTEMPTS, opened

    @cache
    def made(endpoint: str, keys: frozenset[tuple[str, str]], attempts: int) -> S3FileSystem:
        return opened(endpoint, dict(keys), attempts)

    def opened_again(endpoint: str, environment: Mapping[str, str], attempts: int = ATTEMPTS) -> S3FileSystem:
        keys = frozenset((key, value) for key, value in environment.items() if key.startswith("AWS_"))
        client = made(endpoint, keys, attempts)
        client.invalidate_cache()
        return client

    return opened_again


@pytest.fixture
def reopened(shared_client: Opened, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Have the product use the shared clients."""
    from ipa.live.kubernetes import fetch, model_store

    for module in (fetch, model_store):
        monkeypatch.setattr(module, "opened", shared_client)
    return shared_client
