"""HorizontalPodAutoscaler (autoscaling/v2, and v1's share of it) as the policy `hpa`, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ipa.policies.interface import PolicyError
from ipa.policies.settings.comments import guessed, in_whole
from ipa.policies.settings.fields import Fields, as_quantity

DIRECTIONS = (("scaleUp", "scale_up"), ("scaleDown", "scale_down"))
WINDOWS_S = {"scale_up": 0.0, "scale_down": 300.0}
RULES: Mapping[str, Sequence[Mapping[str, float]]] = {
    "scale_up": [{"pods": 4, "period_s": 15.0}, {"percent": 100.0, "period_s": 15.0}],
    "scale_down": [{"percent": 100.0, "period_s": 15.0}],
}
TOLERANCE = 0.1
"""The defaults of the API and of its controller."""


RPS = "http_requests_per_second"
CONCURRENCY = "http_requests_in_flight"
"""The names that are written: a guess, as they depend on what a cluster measures."""

_CONCURRENCY = re.compile(r"concurren|in_?flight|ongoing|queue|waiting|pending|active_requests", re.IGNORECASE)
_RPS = re.compile(r"per_second|rps|qps|\brate\(|irate\(|requests_rate|request_rate", re.IGNORECASE)


def read(spec: Fields, version: str) -> dict[str, Any]:
    """The parameters of `hpa`."""
    parameters: dict[str, Any] = bounds(spec, "minReplicas", 1, "maxReplicas", None)
    if version == "autoscaling/v1":
        target = spec.quantity("targetCPUUtilizationPercentage", 80.0, above=0.0)
        return {**parameters, **_utilisation(target, spec.at("targetCPUUtilizationPercentage"))}
    metrics = spec.items("metrics")
    if len(metrics) > 1:
        raise PolicyError(
            f"{spec.at('metrics')}: {len(metrics)} metrics, of which the one that asks for most counts; allowed: one"
        )
    parameters |= _metric(metrics[0]) if metrics else {"metric": "utilisation", "target": 0.8}
    return {**parameters, **behaviour(spec.fields("behavior"))}


def metric_of(text: str, path: str) -> str:
    """`rps` or `concurrency`. PolicyError: the text says neither or both."""
    kinds = {"concurrency": bool(_CONCURRENCY.search(text)), "rps": bool(_RPS.search(text))}
    named = [kind for kind, is_named in kinds.items() if is_named]
    if len(named) != 1:
        raise PolicyError(
            f"{path}: {text!r}: is it requests per second or requests in progress? Allowed: a name or query that says "
            f"so, such as {RPS} or {CONCURRENCY}"
        )
    return named[0]


def bounds(spec: Fields, least_key: str, least: int, most_key: str, most: int | None) -> dict[str, int]:
    """The parameters `min_replicas` and `max_replicas`. At least one replica always stays."""
    fewest = spec.whole(least_key, least, at_least=0)
    maximum = spec.whole(most_key, most, at_least=1)
    if maximum is None:
        raise PolicyError(f"{spec.at(most_key)}: is missing; allowed: a whole number of at least 1")
    if fewest == 0:
        spec.notes.append(
            f"{spec.at(least_key)}: no stage goes down to 0 here; one replica stays, so none starts from 0"
        )
        fewest = 1
    assert fewest is not None
    if maximum < fewest:
        raise PolicyError(f"{spec.at(most_key)}: {maximum} is below {least_key}, which is {fewest}")
    return {"min_replicas": fewest, "max_replicas": maximum}


def _metric(metric: Fields) -> dict[str, Any]:
    kind = metric.one_of("type", None, ("Resource", "ContainerResource", "Pods", "Object", "External"))
    key = kind[0].lower() + kind[1:]
    source = metric.fields(key)
    metric.end()
    if kind in ("Resource", "ContainerResource"):
        source.one_of("name", None, ("cpu",))
        source.skip("container")
        target = source.fields("target")
        target.one_of("type", "Utilization", ("Utilization",))
        value = target.quantity("averageUtilization", None, above=0.0)
        target.end()
        source.end()
        return _utilisation(value, target.at("averageUtilization"))
    source.skip("describedObject")
    name = source.fields("metric")
    title = str(name.take("name", ""))
    name.skip("selector")
    name.end()
    target = source.fields("target")
    target.one_of("type", "AverageValue", ("AverageValue",))
    value = target.quantity("averageValue", None, above=0.0)
    target.end()
    source.end()
    external = {"external": True} if kind != "Pods" else {}
    return {"metric": metric_of(title, name.at("name")), "target": value, **external}


def _utilisation(percent: float, path: str) -> dict[str, Any]:
    if percent > 100:
        raise PolicyError(
            f"{path}: {percent:g}: a busy replica here uses all its cores and no more; allowed: up to 100"
        )
    return {"metric": "utilisation", "target": percent / 100}


def behaviour(behavior: Fields) -> dict[str, Any]:
    """The parameters of both directions; only those that differ from the defaults."""
    parameters: dict[str, Any] = {}
    for key, name in DIRECTIONS:
        direction = behavior.fields(key)
        window_s = direction.whole("stabilizationWindowSeconds", int(WINDOWS_S[name]), at_least=0)
        if window_s != WINDOWS_S[name]:
            parameters[f"{name}_window_s"] = window_s
        select = direction.one_of("selectPolicy", "Max", ("Max", "Min", "Disabled")).lower()
        if select != "max":
            parameters[f"{name}_select"] = select
        rules = [_rule(rule) for rule in direction.items("policies")]
        if rules and rules != list(RULES[name]):
            parameters[f"{name}_rules"] = rules
        tolerance = direction.quantity("tolerance", TOLERANCE)
        if tolerance != TOLERANCE:
            parameters[f"{name}_tolerance"] = tolerance
        direction.end()
    behavior.end()
    return parameters


def _rule(rule: Fields) -> dict[str, float]:
    kind = rule.one_of("type", None, ("Pods", "Percent")).lower()
    amount, period_s = rule.whole("value", None, at_least=1), rule.whole("periodSeconds", None, at_least=1)
    if amount is None or period_s is None:
        raise PolicyError(f"{rule.path}: lacks {'value' if amount is None else 'periodSeconds'}")
    rule.end()
    return {kind: amount if kind == "pods" else float(amount), "period_s": float(period_s)}


# ---- writing ----


def write(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a stage, of parameters for this stage alone. PolicyError: what an HPA cannot say."""
    if parameters["max_replicas"] is None:
        raise PolicyError("maxReplicas: an HPA needs one; give the policy max_replicas")
    spec = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": guessed(stage, "the Deployment's name"),
        },
        "minReplicas": parameters["min_replicas"],
        "maxReplicas": parameters["max_replicas"],
        "metrics": [written_metric(parameters)],
    }
    if behavior := written_behaviour(parameters):
        spec["behavior"] = behavior
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": stage},
        "spec": spec,
    }


def written_metric(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `metrics`."""
    metric, target = parameters["metric"], parameters["target"]
    if metric == "utilisation":
        return {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": in_whole(100 * target, 1)},
            },
        }
    name = guessed(RPS if metric == "rps" else CONCURRENCY, "what the cluster's adapter calls it")
    source = {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": as_quantity(target)}}
    return {"type": "External", "external": source} if parameters["external"] else {"type": "Pods", "pods": source}


def written_behaviour(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`behavior`, with what differs from the defaults."""
    behavior: dict[str, Any] = {}
    for key, name in DIRECTIONS:
        direction: dict[str, Any] = {}
        if (window_s := parameters[f"{name}_window_s"]) != WINDOWS_S[name]:
            direction["stabilizationWindowSeconds"] = in_whole(window_s)
        if (select := parameters[f"{name}_select"]) != "max":
            direction["selectPolicy"] = select.capitalize()
        if (rules := parameters[f"{name}_rules"]) != RULES[name]:
            direction["policies"] = [_written_rule(rule) for rule in rules]
        tolerance = parameters[f"{name}_tolerance"]
        tolerance = parameters["tolerance"] if tolerance is None else tolerance
        if tolerance != TOLERANCE:
            direction["tolerance"] = as_quantity(tolerance)
        if direction:
            behavior[key] = direction
    return behavior


def _written_rule(rule: Mapping[str, float]) -> dict[str, Any]:
    kind = "pods" if "pods" in rule else "percent"
    return {
        "type": kind.capitalize(),
        "value": in_whole(rule[kind], 1),
        "periodSeconds": in_whole(rule["period_s"], 1),
    }
