"""What one look at the cluster found and did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ipa.live.kubernetes.stage_state import StageState
from ipa.policies import Configuration


@dataclass(frozen=True)
class Look:
    """What one look found and did.

    `is_gateway_there`: a gateway serves; `is_gateway_ready`: all of it is as it should be. `failed`: stage -> why its
    wanted variant will not become ready; `out_of_room`: stage -> why it cannot have all its replicas; `delays`: stage
    -> what keeps a pod from starting and may pass. `gateway_problem` and `gateway_delay` say the same of the gateway,
    where lack of room is a delay. `is_held`: the kill switch is on; `is_down`: the pipeline has been taken down;
    `is_changed`: it has been redeployed with another file or layout. `stopped`: stage, or another object's name -> why
    nothing is done there until somebody else acts; `foreign`: stage -> who else has lately set its replicas. `error`:
    why this look broke off; another follows. `has_read`: it broke off only when it had read what there is; `judged`:
    the stages and other objects to which it came.
    """

    stages: Mapping[str, StageState] = field(default_factory=dict)
    is_gateway_there: bool = False
    is_gateway_ready: bool = False
    done: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    out_of_room: Mapping[str, str] = field(default_factory=dict)
    delays: Mapping[str, str] = field(default_factory=dict)
    gateway_problem: str = ""
    gateway_delay: str = ""
    is_held: bool = False
    is_down: bool = False
    is_changed: bool = False
    stopped: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    has_read: bool = True
    judged: frozenset[str] = frozenset()

    @property
    def lacks_gateway(self) -> bool:
        """Whether no gateway was found ready."""
        return bool(self.stages) and not (self.is_gateway_there or self.error)

    @property
    def hopeless(self) -> str:
        """Why it will not become ready by waiting; empty if it may."""
        return said({**self.stopped, **self.failed, "the gateway": self.gateway_problem})

    @property
    def waits_for(self) -> str:
        """What keeps it from being ready and may pass; empty if nothing is known."""
        return self.error or said({**self.out_of_room, **self.delays, "the gateway": self.gateway_delay})

    def refusal(self, before: Configuration, wanted: Configuration) -> str:
        """Why `wanted` may not be asked for after `before`: a stage that it changes, or the whole, is stopped."""
        return said({name: why for name, why in self.stopped.items() if before.get(name, 0) != wanted.get(name, 1)})

    def is_complete(self, configuration: Configuration, *, alone: bool = True) -> bool:
        """Whether every stage is as it should be, if `alone` with no lane left that is not wanted."""
        has_ended = self.is_down or self.is_changed
        is_quiet = self.is_gateway_ready and not (self.error or self.stopped or has_ended or self.done)
        return is_quiet and all(
            (state := self.stages.get(stage)) is not None and state.stands(wanted, alone=alone)
            for stage, wanted in configuration.items()
        )


def said(reasons: Mapping[str, str]) -> str:
    """Reasons by stage as one text; empty if there are none."""
    return "; ".join(f"{name}: {why}" for name, why in reasons.items() if why)
