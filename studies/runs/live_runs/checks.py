"""Checks of the scenario and options of a live run, and the settings of its serving plane."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ipa.live import LiveError
from ipa.policies import knows_future, reads
from ipa.studies.runs.live_runs.options import Live
from ipa.studies.runs.live_runs.samples import check_models, check_samples, folder_of
from ipa.studies.runs.run import Prepared
from ipa.studies.scenario import core_limit

if TYPE_CHECKING:
    from ipa.live import Plane

NEEDED = ("aiohttp", "msgspec", "orjson", "prometheus_client", "uvloop")


def check_installed() -> None:
    """Raise LiveError if libraries of live mode are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise LiveError(f"live mode needs {', '.join(missing)}: pip install '.[live]' in the checkout")


def check_live(live: Live, prepared: Prepared) -> None:
    """Raise LiveError, naming the key or option, for settings that only a simulation has or that are impossible."""
    _check_scenario(prepared)
    _check_source(live)
    if live.cluster is None:
        live.settings.check_for_machine()
        check_models(live.settings.models.source, prepared.pipeline)
    check_samples(live.settings.models.samples)
    if live.duration_s is not None and live.duration_s < 1.0:
        raise LiveError(f"--duration {live.duration_s:g}: should be at least 1 second")


def _check_scenario(prepared: Prepared) -> None:
    scenario = prepared.scenario
    simulated = {
        "dispatch": (scenario.dispatch != "central", "the gateway dispatches centrally; allowed: central"),
        "engine": (scenario.engine != "auto", "a live run has no engine; allowed: auto"),
        "records": (scenario.records != "all", "a live run keeps all records; allowed: all"),
        "service_times": (
            scenario.service_times != "lognormal",
            "the emulated servers take the profiled times, mean and p99; allowed: lognormal",
        ),
        "service_factor": (
            scenario.service_factor != 1.0,
            "the emulated servers take the profiled times; allowed: 1",
        ),
        "profile_factors": (
            bool(scenario.profile_factors),
            "the servers take the times that they take; allowed: none",
        ),
        "outages": (bool(scenario.outages), "metrics fail when they do; allowed: none"),
        "metrics_delay_s": (bool(scenario.metrics_delay_s), "metrics are as old as they are; allowed: 0"),
        "hop_s": (scenario.hop_s > 0.0, "a live hop takes what it takes; allowed: 0"),
        "decision_delay_s": (scenario.decision_delay_s > 0.0, "a live decision takes what it takes; allowed: 0"),
    }
    for key, (is_wrong, why) in simulated.items():
        if is_wrong:
            raise LiveError(f"{key}: {scenario.model_dump(mode='json')[key]}: {why}")
    if knows_future(prepared.policy):
        instead = "; give it replicas, as in static:3,2" if "peak_rps" in reads(prepared.policy) else ""
        raise LiveError(
            f"policy {scenario.policy.name}: it or its predictor reads the future load, which only a simulation knows"
            f"{instead}"
        )


def _check_source(live: Live) -> None:
    controller = live.settings.controller
    if controller.source != "prometheus":
        for key in ("prometheus", "prometheus_match"):
            if getattr(controller, key):
                raise LiveError(f"controller.{key}: needs controller.source: prometheus")
        return
    from ipa.live.monitoring import check_matcher, find_prometheus

    for matcher in controller.prometheus_match:
        check_matcher(matcher)
    if not controller.prometheus:
        if live.cluster is not None:
            raise LiveError("controller.source prometheus on a cluster needs controller.prometheus, a server's URL")
        find_prometheus()


def plane_of(prepared: Prepared, live: Live = Live()) -> Plane:
    """The settings of the serving plane."""
    from ipa.live import Plane

    scenario, gateway = prepared.scenario, live.settings.gateway
    return Plane(
        pipeline=prepared.pipeline,
        source=scenario.pipeline,
        seed=scenario.seed,
        service_times=scenario.service_times,
        stop_s=scenario.stop_s,
        drop=scenario.drop,
        max_surge=scenario.max_surge,
        max_unavailable=scenario.max_unavailable,
        removal=scenario.removal,
        limit_cores=scenario.limit_cores,
        most_cores=core_limit(scenario),
        when_full=scenario.when_full,
        port=gateway.port,
        control_port=gateway.control_port,
        limits=gateway.as_text(),
        models=folder_of(live.settings.models.source) if live.cluster is None else "",
    )
