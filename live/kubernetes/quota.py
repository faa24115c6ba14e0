"""The cores that a namespace's ResourceQuota leaves for replicas: the budget of a fleet whose file has none."""

from __future__ import annotations

from collections.abc import Collection
from math import floor

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.settings import cpu_cores

KEYS = ("requests.cpu", "cpu", "limits.cpu")


def cores_left(api: Api, namespace: str, instances: Collection[str]) -> int:
    """The whole cores that the quotas of a namespace leave for all replicas of these deployed pipelines, those that
    exist included. What others use of it, gateways too, is theirs.

    Raises LiveError if no quota limits cores, or it cannot be read.
    """
    try:
        quotas = api.list("ResourceQuota", namespace)["items"]
        pods = api.list("Pod", namespace)["items"]
    except ApiError as error:
        raise LiveError(f"limit_cores: missing, and the namespace's quota cannot be read: {error}") from None
    own_cores = sum(
        int(labels[names.CORES])
        for labels in (pod["metadata"].get("labels") or {} for pod in pods)
        if labels.get(names.INSTANCE) in instances and names.CORES in labels
    )
    left_by_quota = []
    for quota in quotas:
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        left_by_quota += [_cores(hard[key]) - _cores(used.get(key, "0")) for key in KEYS if key in hard]
    if not left_by_quota:
        raise LiveError(f"limit_cores: missing, and no ResourceQuota of namespace {namespace} limits cores")
    return floor(min(left_by_quota) + own_cores + 1e-9)


def _cores(quantity: str) -> float:
    return 0.0 if quantity == "0" else cpu_cores(quantity)
