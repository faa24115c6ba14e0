"""Checks of the scenario and options of a live run, and the settings of its serving plane."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, get_args

from ipa.live import LiveError
from ipa.policies import knows_future, reads
from ipa.studies.runs.live_runs.options import Live
from ipa.studies.runs.live_runs.samples import check_models, folder_of
from ipa.studies.runs.run import Prepared
from ipa.studies.scenario import choices, core_limit

if TYPE_CHECKING:
    from ipa.live import Plane

NEEDED = ("aiohttp", "msgspec", "orjson", "prometheus_client", "uvloop")

SOURCES = get_args(choices.Source)


def check_installed() -> None:
    """Raise LiveError if libraries of live mode are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise LiveError(f"live mode needs {', '.join(missing)}: pip install '.[live]' in the checkout")


def check_live(live: Live, prepared: Prepared) -> None:
    """Raise LiveError, naming the key or option, for settings that only a simulation has or that are impossible."""
    _check_scenario(prepared)
    _check_source(live)
    check_models(live.models, live.samples, live.cluster is not None, prepared.pipeline)
    if live.cluster is not None and (words := live.limits.arguments()):
        raise LiveError(f"{' '.join(words[:2])}: on a cluster, give it to ipa live up")
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
    if live.source not in SOURCES:
        raise LiveError(f"--source {live.source}: allowed: {', '.join(SOURCES)}")
    if live.prometheus is not None and live.source != "prometheus":
        raise LiveError("--prometheus needs --source prometheus")
    if live.prometheus is not None and not re.fullmatch(r"https?://[^/?#\s]+\S*", live.prometheus):
        raise LiveError(f"--prometheus {live.prometheus}: should be the URL of a server, such as http://localhost:9090")
    if live.prometheus_match:
        from ipa.live.monitoring import check_matcher

        if live.source != "prometheus":
            raise LiveError("--prometheus-match needs --source prometheus")
        for matcher in live.prometheus_match:
            check_matcher(matcher)
    if live.source == "prometheus" and live.prometheus is None:
        from ipa.live.monitoring import find_prometheus

        if live.cluster is not None:
            raise LiveError("--source prometheus on a cluster needs the URL of a server that scrapes it: --prometheus")
        find_prometheus()


def plane_of(prepared: Prepared, live: Live = Live()) -> Plane:
    """The settings of the serving plane."""
    from ipa.live import Plane

    scenario = prepared.scenario
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
        port=live.port,
        control_port=live.control_port,
        limits=live.limits,
        models=folder_of(live.models),
    )
