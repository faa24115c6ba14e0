"""Knative's Service and Revision as the policy `kpa`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.policies.interface import PolicyError
from ipa.policies.settings.comments import guessed, in_whole
from ipa.policies.settings.fields import Fields

PREFIX = "autoscaling.knative.dev/"
TARGET, UTILISATION_PERCENT, WINDOW_S, PANIC_WINDOW_PERCENT, PANIC_THRESHOLD_PERCENT = 100.0, 70.0, 60.0, 10.0, 200.0
"""The defaults of config-autoscaler."""

OLD_NAMES = {
    "minScale": "min-scale",
    "maxScale": "max-scale",
    "initialScale": "initial-scale",
    "targetUtilizationPercentage": "target-utilization-percentage",
    "panicWindowPercentage": "panic-window-percentage",
    "panicThresholdPercentage": "panic-threshold-percentage",
    "targetBurstCapacity": "target-burst-capacity",
}


def read(document: Fields, kind: str) -> dict[str, Any]:
    """The parameters of `kpa`."""
    owner = document
    if kind == "Service":
        owner = document.fields("spec").fields("template")
    annotations = dict(owner.fields("metadata").take("annotations", {}))
    limit = owner.fields("spec").whole("containerConcurrency", 0, at_least=0) or 0
    own = {
        OLD_NAMES.get(key.removeprefix(PREFIX), key.removeprefix(PREFIX)): value
        for key, value in annotations.items()
        if key.startswith(PREFIX)
    }
    settings = Fields(own, f"{owner.path}.metadata.annotations".removeprefix("."), document.notes)
    settings.one_of("class", "kpa.autoscaling.knative.dev", ("kpa.autoscaling.knative.dev",))
    settings.one_of("metric", "concurrency", ("concurrency",))
    settings.say("only the start, from 0 or of a revision, depends on it", "initial-scale", "activation-scale")
    settings.say("says which requests pass the activator, which is not here", "target-burst-capacity")
    settings.say("one replica always stays here", "scale-to-zero-pod-retention-period")
    fewest = settings.whole("min-scale", 0, at_least=0) or 0
    most = settings.whole("max-scale", 0, at_least=0) or 0
    if fewest == 0:
        settings.notes.append("min-scale: no stage goes down to 0 here; one replica stays, so none starts from 0")
    if most and most < fewest:
        raise PolicyError(f"{settings.at('max-scale')}: {most} is below min-scale, which is {fewest}")
    soft = settings.quantity("target", limit or TARGET, above=0.0)
    share = settings.quantity("target-utilization-percentage", UTILISATION_PERCENT, above=0.0) / 100
    if share > 1:
        raise PolicyError(f"{settings.at('target-utilization-percentage')}: {100 * share:g}; allowed: up to 100")
    window_s = settings.seconds("window", WINDOW_S, above=0.0)
    panic_share = settings.quantity("panic-window-percentage", PANIC_WINDOW_PERCENT, above=0.0) / 100
    parameters = {
        "target_concurrency": min(soft, limit) if limit else soft,
        "utilisation": share,
        "stable_window_s": window_s,
        "panic_window_s": round(panic_share * window_s, 6),
        "panic_threshold": settings.quantity("panic-threshold-percentage", PANIC_THRESHOLD_PERCENT, above=100.0) / 100,
        "scale_down_delay_s": settings.seconds("scale-down-delay", 0.0),
        "min_replicas": max(1, fewest),
        "max_replicas": most or None,
    }
    settings.end()
    return parameters


def write(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a stage, of parameters for this stage alone. PolicyError: what annotations cannot say."""
    for key, default in (("max_scale_up_rate", 1000.0), ("max_scale_down_rate", 2.0)):
        if parameters[key] != default:
            raise PolicyError(f"{key}={parameters[key]:g}: is set for a whole cluster, in config-autoscaler")
    window_s = parameters["stable_window_s"]
    annotations = {
        "class": "kpa.autoscaling.knative.dev",
        "metric": "concurrency",
        "target": f"{parameters['target_concurrency']:g}",
        "target-utilization-percentage": f"{100 * parameters['utilisation']:g}",
        "window": in_whole(window_s, 1, "s"),
        "panic-window-percentage": f"{100 * parameters['panic_window_s'] / window_s:.12g}",
        "panic-threshold-percentage": f"{100 * parameters['panic_threshold']:g}",
        "min-scale": str(parameters["min_replicas"]),
        "max-scale": str(parameters["max_replicas"] or 0),
    }
    if parameters["scale_down_delay_s"]:
        annotations["scale-down-delay"] = in_whole(parameters["scale_down_delay_s"], 0, "s")
    image = guessed(f"{stage}:latest", "the image of the stage's model server")
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": stage},
        "spec": {
            "template": {
                "metadata": {"annotations": {PREFIX + key: value for key, value in annotations.items()}},
                "spec": {"containers": [{"image": image}]},
            }
        },
    }
