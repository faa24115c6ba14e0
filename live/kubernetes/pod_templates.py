"""What people add to our pods: partial pod templates (`cluster.pods`), merged as `kubectl patch` merges.

Mappings are merged key by key, null removes a key, lists of mappings are merged item by item, and any other list
replaces what was there. The API server checks the result: `ipa live up` asks it for a dry run before anything changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes.names import CONTROLLER, GATEWAY
from ipa.live.settings import PodTemplate, PodTemplates
from ipa.profiles import Pipeline, ProfileError, did_you_mean

MERGED_BY = ("name", "mountPath", "containerPort", "topologyKey", "key", "ip")
"""By the first of these keys that all items of a list have they are the same item."""


def check(pods: PodTemplates, pipeline: Pipeline) -> None:
    """Raise LiveError for a stage or a variant that the pipeline does not have."""
    stages = {stage.name: stage for stage in pipeline.stages}
    for name, given in pods.stages.items():
        if name not in stages:
            hint = f"it has {', '.join(stages)}{did_you_mean(name, [*stages])}"
            raise LiveError(f"cluster.pods.stages: {pipeline.name!r} has no stage {name!r}; {hint}")
        try:
            for variant in given.variants:
                stages[name].variant(variant)
        except ProfileError as error:
            raise LiveError(f"cluster.pods.stages: {error}") from None


def merged(template: Any, pods: PodTemplates, component: str, stage: str = "", variant: str = "") -> Any:
    """A component's pod template with what is added to it or, for model servers, to those of a stage's variant."""
    for part in _parts(pods, component, stage, variant):
        template = patched(template, {"metadata": part.metadata, "spec": part.spec})
    return template


def _parts(pods: PodTemplates, component: str, stage: str, variant: str) -> Iterator[PodTemplate]:
    """From the general to the particular."""
    yield pods.pods
    if component in (GATEWAY, CONTROLLER):
        yield pods.gateway if component == GATEWAY else pods.controller
        return
    yield pods.models
    if stage in pods.stages:
        of_stage = pods.stages[stage]
        yield of_stage
        if variant in of_stage.variants:
            yield of_stage.variants[variant]


def patched(ours: Any, patch: Any) -> Any:
    """Plain data with a patch merged into it."""
    if isinstance(patch, Mapping) and (ours is None or isinstance(ours, Mapping)):
        ours = ours or {}
        both = {**ours, **{key: patched(ours.get(key), value) for key, value in patch.items()}}
        return {key: value for key, value in both.items() if value is not None}
    if isinstance(ours, list) and isinstance(patch, list) and (key := _key_of([*ours, *patch])) is not None:
        items = {item[key]: item for item in ours}
        for item in patch:
            items[item[key]] = patched(items.get(item[key]), item)
        return list(items.values())
    return patch


def _key_of(items: list[Any]) -> str | None:
    if not all(isinstance(item, Mapping) for item in items):
        return None
    return next((key for key in MERGED_BY if all(key in item for item in items)), None)
