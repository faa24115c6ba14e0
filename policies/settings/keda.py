"""KEDA's ScaledObject (keda.sh/v1alpha1) as the policy `hpa` with its activation, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.policies.interface import PolicyError
from ipa.policies.settings.comments import guessed, in_whole
from ipa.policies.settings.fields import Fields
from ipa.policies.settings.horizontal import behaviour, bounds, written_behaviour
from ipa.policies.settings.metrics import CONCURRENCY, RPS, metric_of

MOST_REPLICAS = 100
"""`maxReplicaCount` where none is set."""

ACTIVATION = (
    ("pollingInterval", "polling_s", 30),
    ("cooldownPeriod", "cooldown_s", 300),
    ("initialCooldownPeriod", "initial_cooldown_s", 0),
)
"""Keys of the manifest, parameters of `hpa`, and KEDA's defaults [s]."""


def read(spec: Fields) -> dict[str, Any]:
    """The parameters of `hpa`."""
    parameters: dict[str, Any] = bounds(spec, "minReplicaCount", 0, "maxReplicaCount", MOST_REPLICAS, to_zero=True)
    idle = spec.whole("idleReplicaCount", None, at_least=0)
    if idle:
        raise PolicyError(f"{spec.at('idleReplicaCount')}: {idle}; allowed: 0, which is all that KEDA supports")
    sleeps = 0 in (idle, parameters["min_replicas"])
    parameters["min_replicas"] = parameters["min_replicas"] or 1
    spec.say("holds only where the metrics fail", "fallback")
    triggers = spec.items("triggers")
    if len(triggers) != 1:
        raise PolicyError(f"{spec.at('triggers')}: {len(triggers)} triggers; allowed: one")
    advanced = spec.fields("advanced")
    advanced.skip("restoreToOriginalReplicaCount")
    autoscaler = advanced.fields("horizontalPodAutoscalerConfig")
    autoscaler.skip("name")
    directions = behaviour(autoscaler.fields("behavior"))
    autoscaler.end()
    advanced.end()
    threshold, metric = _trigger(triggers[0])
    return {**parameters, **metric, **directions, **_activation(spec, threshold if sleeps else None)}


def _activation(spec: Fields, threshold: float | None) -> dict[str, Any]:
    """The parameters of the activation; `threshold`: None where the stage never goes to 0 replicas."""
    if threshold is None:
        spec.say("holds for what goes to 0 replicas, which this one does not", *(key for key, *_ in ACTIVATION))
        return {}
    times_s = {name: spec.whole(key, default, at_least=0) for key, name, default in ACTIVATION}
    if not times_s["polling_s"]:
        raise PolicyError(f"{spec.at('pollingInterval')}: 0; allowed: a whole number of at least 1")
    own = {name: times_s[name] for _, name, default in ACTIVATION if times_s[name] != default}
    return {"activation": threshold, **own}


def _trigger(trigger: Fields) -> tuple[float | None, dict[str, Any]]:
    """The metric up to which a stage is inactive (None: KEDA cannot tell by this trigger), and its other parameters."""
    kind = trigger.one_of("type", None, ("prometheus", "cpu"))
    trigger.skip("name", "authenticationRef", "useCachedMetrics")
    metadata = trigger.fields("metadata")
    if kind == "cpu":
        trigger.one_of("metricType", "Utilization", ("Utilization",))
        trigger.end()
        percent = metadata.quantity("value", None, above=0.0)
        if percent > 100:
            raise PolicyError(
                f"{metadata.at('value')}: {percent:g}; allowed: up to 100, as a busy replica uses its cores"
            )
        metadata.skip("containerName")
        metadata.end()
        return None, {"metric": "utilisation", "target": percent / 100}
    trigger.one_of("metricType", "AverageValue", ("AverageValue",))
    trigger.end()
    query = str(metadata.take("query", ""))
    target = metadata.quantity("threshold", None, above=0.0)
    threshold = metadata.quantity("activationThreshold", 0.0)
    metadata.skip(
        "serverAddress", "metricName", "namespace", "customHeaders", "ignoreNullValues", "queryParameters", "authModes"
    )
    metadata.skip("unsafeSsl", "timeout")
    metadata.end()
    return threshold, {"metric": metric_of(query, metadata.at("query")), "target": target, "external": True}


def write(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a stage, of parameters for this stage alone. PolicyError: what a ScaledObject cannot say."""
    if parameters["max_replicas"] is None:
        raise PolicyError(f"maxReplicaCount: without one KEDA's is {MOST_REPLICAS}; give the policy max_replicas")
    spec: dict[str, Any] = {
        "scaleTargetRef": {"name": guessed(stage, "the Deployment's name")},
        "minReplicaCount": parameters["min_replicas"],
        "maxReplicaCount": parameters["max_replicas"],
        "triggers": [_written_trigger(stage, parameters)],
    }
    if parameters["activation"] is not None:
        if parameters["min_replicas"] == 1:
            spec["minReplicaCount"] = 0
        else:
            spec["idleReplicaCount"] = 0
        spec |= {key: in_whole(parameters[name], int(name == "polling_s")) for key, name, _ in ACTIVATION}
    if behavior := written_behaviour(parameters):
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": behavior}}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": stage}, "spec": spec}


def _written_trigger(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    metric, target = parameters["metric"], parameters["target"]
    if metric == "utilisation":
        return {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(in_whole(100 * target, 1))}}
    if not parameters["external"]:
        raise PolicyError(f"metric={metric}: KEDA's metrics are external; give the policy external=true")
    chosen = f'{{stage="{stage}"}}'
    query = f"sum(rate({RPS.removesuffix('_per_second')}_total{chosen}[1m]))" if metric == "rps" else ""
    return {
        "type": "prometheus",
        "metadata": {
            "serverAddress": guessed("http://prometheus.monitoring.svc:9090", "where Prometheus is"),
            "query": guessed(query or f"sum({CONCURRENCY}{chosen})", "what the cluster measures"),
            "threshold": f"{target:.12g}",
            "activationThreshold": f"{parameters['activation'] or 0.0:.12g}",
        },
    }
