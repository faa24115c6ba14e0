"""What is wanted of a deployed pipeline, as its objects say, and the pods that are there."""

from __future__ import annotations

from collections.abc import Mapping

from ipa.live.kubernetes import names, reader
from ipa.live.kubernetes.api import Api
from ipa.live.kubernetes.names import MODEL_SERVER
from ipa.live.kubernetes.pods import Pod, ours
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState
from ipa.policies import Configuration, PolicyError, check_configuration
from ipa.profiles import Pipeline


def standing(api: Api, deployed: Deployed, first: Configuration) -> Configuration:
    """The configuration that the cluster says is wanted; `first` for stages where it names none that the pipeline has.

    Raises ApiError.
    """
    return standing_of(deployed, first, reader.stages(api, deployed))


def standing_of(deployed: Deployed, first: Configuration, states: Mapping[str, StageState]) -> Configuration:
    found = {stage: state.wanted for stage, state in states.items() if state.wanted is not None}
    pipeline = deployed.plane.pipeline
    return {**first, **{name: each for name, each in found.items() if _can_be(pipeline, {**first, name: each})}}


def _can_be(pipeline: Pipeline, configuration: Configuration) -> bool:
    try:
        check_configuration(pipeline, configuration)
    except PolicyError:
        return False
    return True


def pods(api: Api, deployed: Deployed) -> list[Pod]:
    """The pods of the model servers. Raises ApiError."""
    selector = names.as_query(names.selector(deployed.instance, MODEL_SERVER))
    return ours(api.list("Pod", deployed.namespace, selector)["items"])
