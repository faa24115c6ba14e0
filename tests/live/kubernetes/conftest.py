"""Tests marked `cluster` use the cluster that KUBECONFIG names; without one they are skipped."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

NO_CLUSTER = pytest.mark.skip(reason="no cluster: KUBECONFIG is not set")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("cluster") and "KUBECONFIG" not in os.environ:
            item.add_marker(NO_CLUSTER)
