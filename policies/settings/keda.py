"""KEDA's ScaledObject (keda.sh/v1alpha1) as the policy `hpa`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.policies.interface import PolicyError
from ipa.policies.settings.comments import guessed, in_whole
from ipa.policies.settings.fields import Fields
from ipa.policies.settings.horizontal import CONCURRENCY, RPS, behaviour, bounds, metric_of, written_behaviour

MOST_REPLICAS = 100
"""`maxReplicaCount` where none is set."""

AWAKE = "holds for what goes to 0 replicas; one always stays here"


def read(spec: Fields) -> dict[str, Any]:
    """The parameters of `hpa`."""
    parameters: dict[str, Any] = bounds(spec, "minReplicaCount", 0, "maxReplicaCount", MOST_REPLICAS)
    spec.say(AWAKE, "idleReplicaCount", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod")
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
    return {**parameters, **_trigger(triggers[0]), **directions}


def _trigger(trigger: Fields) -> dict[str, Any]:
    """The parameters of the metric."""
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
        return {"metric": "utilisation", "target": percent / 100}
    trigger.one_of("metricType", "AverageValue", ("AverageValue",))
    trigger.end()
    query = str(metadata.take("query", ""))
    target = metadata.quantity("threshold", None, above=0.0)
    metadata.say(AWAKE, "activationThreshold")
    metadata.skip(
        "serverAddress", "metricName", "namespace", "customHeaders", "ignoreNullValues", "queryParameters", "authModes"
    )
    metadata.skip("unsafeSsl", "timeout")
    metadata.end()
    return {"metric": metric_of(query, metadata.at("query")), "target": target, "external": True}


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
        },
    }
