"""Keeps the gateway configured as wanted, and learns from it what is in force in the lanes of stages that mix variants.

A gateway has another configuration than the wanted one if it has restarted, if a variant has been rolled back, or if an
answer was lost. One that was started anew does not know either what stood before: the Deployments say so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ipa.live.control_way import RefusedError
from ipa.live.errors import RunError
from ipa.live.gateway_client import GatewayClient, lanes_of
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.lanes import Parts, standing
from ipa.live.kubernetes.stage_state import StageState
from ipa.live.kubernetes.timeline import PodReplicas
from ipa.policies import Configuration, from_plain
from ipa.profiles import Pipeline

log = logging.getLogger("ipa.live.kubernetes.gateway_keeper")


class GatewayKeeper:
    """The gateway behind a `client`; `stages` are those of the run.

    `states` reads how the stages stand on the cluster, and may raise ApiError. `follow` takes over what is in force in
    the lanes; `note_batch` learns of a stage that it has a batch size, since some moment between the given one and now.
    """

    def __init__(
        self,
        client: GatewayClient,
        pipeline: Pipeline,
        stages: Mapping[str, PodReplicas],
        states: Callable[[], Awaitable[Mapping[str, StageState]]],
        follow: Callable[[Mapping[str, Parts]], object],
        note_batch: Callable[[str, int, float], object],
    ) -> None:
        self._client = client
        self._pipeline = pipeline
        self._stages = stages
        self._states = states
        self._follow = follow
        self._note_batch = note_batch

    @property
    def is_laned(self) -> bool:
        """Whether a stage mixes variants, or has done so."""
        return any(stage.is_laned for stage in self._stages.values())

    @property
    def lanes(self) -> dict[str, Parts]:
        """Stage -> what is in force in its lanes, as far as that is known: of a mix the gateway says so."""
        return {
            name: dict(stage.in_force)
            for name, stage in self._stages.items()
            if stage.lanes is not None or not stage.configuration.is_mix
        }

    async def keep(self, wanted: Configuration, now_s: float, has_started: bool) -> bool:
        """Learn what is in force, and once the run has started configure a gateway that is not as wanted; whether the
        replicas are to be looked at again at once. One that does not answer, or refuses, is asked again next time."""
        is_laned, has_changed = self.is_laned, False
        try:
            said = await self._client.observation(now_s, 0)
            is_told = _configuration(said["configuration"]) == wanted
            if is_told and is_laned and said["configured"]:
                before = self.lanes
                self._follow(lanes_of(said["lanes"]))
                has_changed = self.lanes != before
            if not has_started or (is_told and (said["configured"] or not is_laned)):
                return has_changed
            log.warning("the gateway is being reconfigured")
            await self.tell(wanted, now_s)
        except (RunError, RefusedError) as error:
            log.warning("the gateway keeps its configuration", extra={"problem": str(error)})
            return False
        for name, each in wanted.items():
            if not self._stages[name].is_laned:
                self._note_batch(name, each.batch, now_s)
        return is_laned  # to learn what is in force now

    async def tell(self, wanted: Configuration, now_s: float) -> None:
        """Tell the gateway what is wanted; where variants are or were mixed, one that was started anew is first told
        what stood. Raises RunError, RefusedError."""
        if not (self.is_laned or any(each.is_mix for each in wanted.values())):
            await self._client.configure(wanted)
            return
        there = await self._client.observation(now_s, 0)
        if not there["configured"]:
            await self._tell_what_stood(wanted, there["epoch"])
        await self._client.configure(wanted, there["epoch"])

    async def _tell_what_stood(self, wanted: Configuration, epoch: str) -> None:
        try:
            states = await self._states()
        except ApiError as error:
            raise RunError(f"what stands on the cluster cannot be read: {error}") from None
        stages = self._pipeline.by_name
        stood = {name: standing(stages[name], each, states.get(name)) for name, each in wanted.items()}
        try:
            await self._client.stand(stood, epoch)
        except RefusedError as error:  # such as batches that a new pipeline file no longer has
            log.warning("the gateway is not told what stood", extra={"problem": str(error)})


def _configuration(said: Mapping[str, Mapping[str, Any]]) -> Configuration | None:
    """A configuration as a gateway says it; None if that cannot be read."""
    try:
        return {name: from_plain(each) for name, each in said.items()}
    except TypeError:
        return None
