"""The real models of a deployed pipeline, fixed by digest in a ConfigMap: a replica that finds another does not start.

The pod of a replica says the key and the digest of its model (`pod_model`). Who holds the Lease fixes that of a
variant's first pod; the pods that come later compare theirs with it. A digest belongs to the place of the models,
`models.source`: those of another place are fixed anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from hashlib import sha256

from ipa.live.kubernetes.api import Api
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.names import MODEL_SERVER
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.settings import Deployed

log = logging.getLogger("ipa.live.kubernetes.fixed_models")


def models_map(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """The ConfigMap without data: this manifest lacks that field, so that applying it loses nothing."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": deployed.meta(deployed.models_name, MODEL_SERVER, owner),
    }


def key_of(deployed: Deployed, stage: str, variant: str) -> str:
    """The key of a variant's digest in the ConfigMap."""
    place = sha256(deployed.settings.models.source.rstrip("/").encode()).hexdigest()[:8]
    return f"{place}.{stage}.{variant}"


class FixedModels:
    """The digests of a deployed pipeline's models, by key; `digests` are those of which a pod has been seen."""

    def __init__(self, api: Api, deployed: Deployed) -> None:
        self._api = api
        self._deployed = deployed
        self._lacks_map = False
        self.digests: dict[str, str] = {}  # replaced, never changed, as other threads read it

    def note(self, pods: Iterable[Pod], may_write: Callable[[], bool]) -> bool:
        """Fix the models of variants that have none yet, those of their oldest pods; returns whether that wrote.

        What is fixed on the server holds. Raises ApiError.
        """
        oldest_first = sorted(self._saying(pods), key=lambda pod: (pod.created_s, pod.uid))
        new = {pod.model_key: pod.model_digest for pod in reversed(oldest_first) if pod.model_key not in self.digests}
        if not new:
            return False
        namespace, name = self._deployed.namespace, self._deployed.models_name
        config_map = self._api.get("ConfigMap", namespace, name)
        if config_map is None:
            if not self._lacks_map:
                log.warning("models are not fixed", extra={"problem": f"no ConfigMap {name}; run ipa live up"})
            self._lacks_map = True
            return False
        fixed = {key: digest for key, digest in (config_map.get("data") or {}).items() if key in new}
        self.digests = self.digests | fixed
        unfixed = {key: digest for key, digest in new.items() if key not in fixed}
        if not unfixed or not may_write():
            return False
        version = {"resourceVersion": config_map["metadata"]["resourceVersion"]}
        self._api.patch("ConfigMap", namespace, name, {"metadata": version, "data": unfixed})
        self.digests = self.digests | unfixed
        return True

    def problems(self, pods: Iterable[Pod]) -> dict[str, str]:
        """Stage -> which replica serves another model than the fixed one: it had started before that was fixed."""
        return {
            pod.stage: f"variant {pod.variant}: pod {pod.name} holds another model, {pod.model_digest}, than when the "
            f"run began, {fixed}"
            for pod in self._saying(pods)
            if (fixed := self.digests.get(pod.model_key, pod.model_digest)) != pod.model_digest
        }

    def by_variant(self) -> dict[str, str]:
        """The digests by STAGE/VARIANT."""
        return {"/".join(key.split(".")[1:]): digest for key, digest in sorted(self.digests.items())}

    def _saying(self, pods: Iterable[Pod]) -> list[Pod]:
        """The pods that are to stay and have said the digest of their model, from where models are now."""
        return [
            pod
            for pod in pods
            if pod.model_digest and pod.removed_s is None and not pod.is_over
            if pod.model_key == key_of(self._deployed, pod.stage, pod.variant)
        ]
