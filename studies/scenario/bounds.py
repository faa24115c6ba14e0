"""Bounds on the replicas of a run, whatever the policy decides: guards, and the limits of the cluster."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from ipa.policies import MOST_REPLICAS, Steadiness
from ipa.profiles import FileModel, refusal
from ipa.studies.scenario.ranges import Counting, NotNegative, Positive


class GuardBounds(FileModel):
    """What holds whatever the policy decides: bounds on the replicas of every stage, and how it may change."""

    min_replicas: Annotated[Counting, Field(le=MOST_REPLICAS)] = Field(
        default=1, description="minimum replicas of every stage; the optimiser plans with it"
    )
    max_replicas: Counting | None = Field(default=None, description="maximum replicas of every stage, likewise")
    hysteresis: NotNegative = Field(
        default=0.0,
        le=1.0,
        description="keep a stage as it is while the decision, with the same variant and cores, sustains the same load "
        "within this share",
    )
    scale_down_window_s: NotNegative = Field(
        default=0.0, description="sustain at least the most that was decided within this many seconds"
    )
    max_step_up: Counting | None = Field(
        default=None, description="the most replicas that one decision adds to a stage"
    )
    max_step_down: Counting | None = Field(
        default=None, description="the most replicas that one decision removes from a stage, likewise"
    )
    wait_for_starting: bool = Field(
        default=False, strict=True, description="add no replicas while those starting and ready are enough"
    )
    variant_stays_s: NotNegative = Field(default=0.0, description="the least time for which a stage keeps a variant")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise refusal(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        return self

    @property
    def steadiness(self) -> Steadiness:
        """The guards against frequent changes."""
        bounds = {"min_replicas", "max_replicas"}
        return Steadiness(**self.model_dump(exclude=bounds))


def _nodes(value: object) -> object:
    """The number of cores of all nodes, or a list with that of each. Raises if it is neither."""
    nodes = value if isinstance(value, list | tuple) else [value]
    is_whole = all(isinstance(cores, int) and not isinstance(cores, bool) and cores >= 1 for cores in nodes)
    if value is not None and not (nodes and is_whole):
        raise refusal(f"should be a whole number of cores from 1, or a list of these; given {value!r}")
    return tuple(nodes) if isinstance(value, list | tuple) else value


class ClusterLimits(FileModel):
    """What the cluster allows. The optimiser plans within it; guards hold every other policy to it."""

    node_cores: Annotated[int | tuple[int, ...] | None, BeforeValidator(_nodes)] = Field(
        default=None,
        description="cores of every node, of which there are as many as needed; or a list, of each: all replicas must "
        "then fit on these",
    )
    min_replicas: dict[str, Annotated[Counting, Field(le=MOST_REPLICAS)]] = Field(
        default_factory=dict, description="stage -> minimum replicas"
    )
    max_replicas: dict[str, Counting] = Field(default_factory=dict, description="stage -> maximum replicas")
    ruled_out: dict[str, list[str]] = Field(default_factory=dict, description="stage -> variants that may not be used")
    utilisation: Positive = Field(
        default=1.0, le=1.0, description="the highest share of a replica's profiled throughput to plan with"
    )
