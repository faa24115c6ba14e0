"""Ray Serve's autoscaling_config as the policy `ray`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.policies.interface import PolicyError
from ipa.policies.settings.comments import guessed
from ipa.policies.settings.fields import Fields
from ipa.policies.settings.horizontal import bounds

AUTO_MOST, DEFAULT_MOST = 100, 1
"""`max_replicas` with `num_replicas: auto` and with an autoscaling_config that has none."""

KEYS = (
    "target_ongoing_requests",
    "look_back_period_s",
    "upscale_delay_s",
    "downscale_delay_s",
    "upscaling_factor",
    "downscaling_factor",
    "min_replicas",
    "max_replicas",
)
"""The keys of an autoscaling_config that are written; the policy's parameters have the same names."""


def deployments(document: Fields) -> dict[str, Fields]:
    """The deployments of a config by name; a bare autoscaling_config is one without a name."""
    applications = document.items("applications")
    listed = [deployment for application in applications for deployment in application.items("deployments")]
    if applications and not listed:
        raise PolicyError("applications: have no deployments, of which the autoscaling_config is read")
    listed = listed or document.items("deployments")
    return {str(deployment.take("name", "")): deployment for deployment in listed} or {"": document}


def read(deployment: Fields) -> dict[str, Any]:
    """The parameters of `ray`."""
    is_auto = deployment.take("num_replicas") == "auto"
    config = deployment
    if deployment.path:
        config = deployment.fields("autoscaling_config")
    deployment.skip(
        "ray_actor_options", "user_config", "max_ongoing_requests", "graceful_shutdown_timeout_s", "max_queued_requests"
    )
    parameters: dict[str, Any] = bounds(
        config, "min_replicas", 1, "max_replicas", AUTO_MOST if is_auto else DEFAULT_MOST
    )
    config.say("a run starts with what its load needs", "initial_replicas")
    config.say("metrics come with the control steps here", "metrics_interval_s")
    config.say("one replica always stays here", "downscale_to_zero_delay_s")
    smoothing = config.quantity("smoothing_factor", 1.0, above=0.0)
    up = config.quantity("upscale_smoothing_factor", smoothing, above=0.0)
    down = config.quantity("downscale_smoothing_factor", smoothing, above=0.0)
    ongoing = config.quantity("target_num_ongoing_requests_per_replica", 2.0, above=0.0)
    parameters |= {
        "target_ongoing_requests": config.quantity("target_ongoing_requests", ongoing, above=0.0),
        "look_back_period_s": config.quantity("look_back_period_s", 30.0, above=0.0),
        "upscale_delay_s": config.quantity("upscale_delay_s", 30.0),
        "downscale_delay_s": config.quantity("downscale_delay_s", 600.0),
        "upscaling_factor": config.quantity("upscaling_factor", up, above=0.0),
        "downscaling_factor": config.quantity("downscaling_factor", down, above=0.0),
    }
    config.end()
    return parameters


def write(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment of a stage, of parameters for this stage alone."""
    if parameters["max_replicas"] is None:
        raise PolicyError("max_replicas: Ray Serve needs one; give the policy max_replicas")
    return {
        "name": guessed(stage, "the deployment's name"),
        "autoscaling_config": {key: parameters[key] for key in KEYS},
    }
