"""A scenario: everything that one run depends on, as one validated value, from a YAML file or the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ipa.live.kubernetes import PodSections
from ipa.policies import FACTS, MOST_REPLICAS, PLANNING_PARAMETERS, Steadiness, take_from_spec
from ipa.profiles import (
    Document,
    FileModel,
    Limits,
    Loc,
    did_you_mean,
    in_words,
    key_path,
    refusal,
    validate_document,
)
from ipa.studies.scenario import choices
from ipa.studies.scenario.errors import ScenarioError
from ipa.studies.scenario.loads import Windows, parse_windows
from ipa.studies.scenario.ranges import LARGEST, Counting, NotNegative, Positive, Whole
from ipa.studies.scenario.start import StageStart
from ipa.traces import TimeHints

SCHEMA_VERSION = 1

LONGEST_HISTORY_S = 86_400

LONGEST_LABEL = 80
"""In characters; a table has room for it."""

STAGE_KEYS = ("initial", "drop_limits_s")
"""Keys of values by stage."""

LARGEST_SEED = 2**63 - 1
"""What a table's column of seeds can hold."""


def _policy(value: object) -> object:
    """A policy's name alone means the policy without parameters."""
    if isinstance(value, str | Mapping | PolicyChoice):
        return {"name": value} if isinstance(value, str) else value
    given = "nothing" if value is None else repr(value)
    raise refusal(f"should be the name of a policy, or a mapping with its name and parameters; given {given}")


def _windows(value: object) -> object:
    if not isinstance(value, str | list | tuple | None):
        raise refusal(f"should be START:END in seconds, or a list of these; given {value!r}")
    try:
        return parse_windows(value)
    except ValueError as error:
        raise refusal(f"{error}; given {value!r}") from None


def _outages(value: object) -> object:
    found = _windows(value)
    for start, end in found or ():  # type: ignore[attr-defined]
        if not 0 <= start < end < inf:
            raise refusal(f"an outage should begin at 0 or later and before its end; given {start:g}:{end:g}")
    return found


def _label(value: object) -> object:
    is_line = isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= LONGEST_LABEL
    if value is not None and not is_line:
        raise refusal(f"label should be a line of text of at most {LONGEST_LABEL} characters; given {value!r}")
    return value


class PolicyChoice(BaseModel):
    """A policy by name (or `file.py:Class`) with its parameters beside it, which the policy itself checks.

    `label` is what tables and reports call it, by default its name. Like parameters it may follow in the name, from
    which it is taken.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    label: Annotated[str | None, BeforeValidator(_label)] = None

    @model_validator(mode="before")
    @classmethod
    def _label_of_name(cls, given: Any) -> Any:
        if not (isinstance(given, Mapping) and isinstance(given.get("name"), str)):
            return given
        name, label = take_from_spec(given["name"], "label")
        if name == given["name"]:
            return given
        if given.get("label") is not None:
            raise refusal(f"label: given twice, {label!r} and {given['label']!r}")
        return {**given, "name": name, "label": "" if label is None else label}

    @model_serializer(mode="wrap")
    def _without_no_label(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = whole(self)
        return data if self.label is not None else {key: value for key, value in data.items() if key != "label"}

    @property
    def title(self) -> str:
        """What tables, reports and folders call the policy."""
        return self.label or self.name

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters given, by name."""
        return dict(self.model_extra or {})


class GuardBounds(FileModel):
    """What holds whatever the policy decides: bounds on the replicas of every stage, and how it may change."""

    min_replicas: Annotated[Counting, Field(le=MOST_REPLICAS)] = 1
    max_replicas: Counting | None = None
    hysteresis: NotNegative = Field(
        default=0.0,
        le=1.0,
        description="a stage stays as it is while what is wanted sustains as much within this share",
    )
    scale_down_window_s: NotNegative = Field(
        default=0.0, description="a stage sustains no less than anything wanted within so many seconds"
    )
    max_step_up: Counting | None = Field(default=None, description="replicas that one decision adds to a stage at most")
    max_step_down: Counting | None = Field(default=None, description="replicas that it takes from a stage at most")
    wait_for_starting: bool = Field(
        default=False, strict=True, description="no further replicas while those starting and ready are enough"
    )
    variant_stays_s: NotNegative = Field(default=0.0, description="seconds that a stage keeps a variant at least")
    flap_budget: Counting | None = Field(default=None, description="changes of a stage within flap_window_s at most")
    flap_window_s: Positive = 600.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise refusal(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        return self

    @property
    def steadiness(self) -> Steadiness:
        """How far the policy is kept from changing."""
        bounds = {"min_replicas", "max_replicas"}
        return Steadiness(**self.model_dump(exclude=bounds))


def _nodes(value: object) -> object:
    """The cores of every node, or of each."""
    each = value if isinstance(value, list | tuple) else [value]
    is_whole = all(isinstance(cores, int) and not isinstance(cores, bool) and cores >= 1 for cores in each)
    if value is not None and not (each and is_whole):
        raise refusal(f"should be a whole number of cores from 1, or a list of these; given {value!r}")
    return tuple(each) if isinstance(value, list | tuple) else value


class ClusterLimits(FileModel):
    """What the cluster allows. The optimiser plans within it; guards hold every other policy to it."""

    node_cores: Annotated[int | tuple[int, ...] | None, BeforeValidator(_nodes)] = Field(
        default=None, description="of every node, or a list: of each"
    )
    min_replicas: dict[str, Annotated[Counting, Field(le=MOST_REPLICAS)]] = Field(
        default_factory=dict, description="stage -> the fewest replicas"
    )
    max_replicas: dict[str, Counting] = Field(default_factory=dict, description="stage -> the most replicas")
    ruled_out: dict[str, list[str]] = Field(default_factory=dict, description="stage -> variants that may not be used")
    utilisation: Positive = Field(
        default=1.0, le=1.0, description="of the profiled throughput, the highest share to plan with"
    )


class Scenario(FileModel):
    """One run. Every default is the model's own (docs/model.md); times in seconds, resources in cores.

    `Scenario(pipeline="video", seed=2)` raises ScenarioError for a wrong key or value, as a file does.
    """

    schema_version: Literal[1] = 1
    kind: Literal["scenario"] = "scenario"
    pipeline: str = Field(description="a shipped pipeline's name, or the path of a pipeline file")
    policy: Annotated[PolicyChoice, BeforeValidator(_policy, json_schema_input_type=str | PolicyChoice)] = PolicyChoice(
        name="ipa"
    )
    seed: Whole = Field(default=1, le=LARGEST_SEED, description="decides every random draw of the run")

    trace: str = Field(default="bursty", description="a workload's name, or the path of a trace file")
    time_column: str | None = Field(default=None, description="the column of times of a trace file; default: by name")
    time_unit: choices.TimeUnit | None = Field(
        default=None, description="of the numbers in that column; default: as its name or their size says"
    )
    time_zone: str | None = Field(
        default=None, description="of times without one, such as Europe/Berlin; default: a clock that nobody changes"
    )
    count_column: str | None = Field(
        default=None, description="the column of counts; none: each row of the file is a request; default: by name"
    )
    skip_bad_lines: Whole = Field(
        default=0, description="how many lines of a trace file may be passed over that cannot be read; which is said"
    )
    window: Annotated[Windows | None, BeforeValidator(_windows, json_schema_input_type=str | list[Any] | None)] = Field(
        default=None, description="the seconds of the trace to use, START:END; several are joined"
    )
    scale: Positive = Field(default=1.0, description="factor on the trace's requests")
    scaling: choices.Scaling = "floor"
    arrivals: choices.Arrivals = "poisson"

    sla_s: Positive | None = Field(default=None, le=LARGEST, description="end to end; default: the pipeline's")
    interval_s: Positive = Field(default=10.0, description="between two decisions")
    history_s: Counting = Field(default=120, le=LONGEST_HISTORY_S, description="seconds of load that a decision sees")
    decision_delay_s: NotNegative = 0.0
    outages: Annotated[Windows | None, BeforeValidator(_outages, json_schema_input_type=str | list[Any] | None)] = (
        Field(default=None, description="the seconds of the run, START:END, in which no metrics come; several: a list")
    )
    start: choices.Start = Field(
        default="warm",
        description="warm: the policy's first decision is ready; configured: `initial` is",
    )
    initial: dict[str, StageStart] | None = Field(
        default=None,
        description="stage -> what is ready at the start; default: the lightest variants, one replica each",
    )
    limit_cores: Counting | None = None
    guards: GuardBounds = GuardBounds()
    limits: ClusterLimits = ClusterLimits()
    price_per_core: Positive = Field(
        default=1.0, le=LARGEST, description="such as per hour; the optimiser weighs cores by it"
    )

    service_times: choices.ServiceTimes = Field(
        default="lognormal",
        description="lognormal: fitted to mean and p99; mean: every batch takes the mean",
    )
    start_up_sigma: NotNegative = Field(default=0.0, le=2.0, description="of the lognormal factor on start-ups")
    hop_s: NotNegative = Field(default=0.0, description="between a stage and the next")
    dispatch_overhead_s: NotNegative = Field(
        default=0.0, description="occupies the replica with every batch, beyond the profile; policies plan without it"
    )
    service_factor: Positive = Field(
        default=1.0, description="how many times as long as profiled a batch takes; policies plan with the profile"
    )
    start_up_s: NotNegative | None = Field(default=None, description="of every variant; default: the pipeline's")
    interference: choices.Interference = Field(
        default="none",
        description="measured: batches take longer while other replicas serve, as the pipeline's `interference` says",
    )
    start_up_extra_s: NotNegative = Field(default=0.0, description="added to every variant's start-up time")
    stop_s: NotNegative = Field(default=0.0, description="from a replica's last batch until it is gone")
    max_surge: Whole | None = Field(default=None, description="default: a quarter of the desired replicas")
    max_unavailable: Whole = 0
    resize: choices.Resize = Field(
        default="rollout", description="how replicas of a variant that stays get other cores: replaced, or as they run"
    )
    removal: choices.Removal = Field(
        default="drain",
        description="drain: a removed replica finishes its batch; lose: what it holds, and what waits at it, fails",
    )
    dispatch: choices.Dispatch = "central"
    drop: choices.Drop = "request"
    drop_limits_s: dict[str, Positive] = Field(
        default_factory=dict, description="stage -> limit; default: 2 x SLA at the first, SLA later"
    )
    engine: choices.Engine = Field(
        default="auto",
        description="compiled needs numba; auto takes it where it is installed; the results are the same",
    )
    records: choices.Records = Field(
        default="all",
        description="of which requests records are kept; sample: of some, with counts of all in intervals; sample or "
        "none: memory stays bounded, and latency quantiles have a relative error of up to 0.1 %",
    )
    journal: choices.Journal = Field(
        default="lean",
        description="full: every observation carries all fields, so that any policy can replay it",
    )
    kubernetes: Annotated[PodSections, PlainSerializer(PodSections.as_plain)] = Field(
        default=PodSections(),
        description="what is added to pods by `ipa live up` and `ipa live manifests`, under Kubernetes' own names",
    )

    if not TYPE_CHECKING:  # type checkers make a better one from the keys

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise ScenarioError(in_words(error, _Given("", values, {}))) from None

        # A file is validated without it, and keeps its own errors, which know the lines.
        __init__.__pydantic_base_init__ = True

    @classmethod
    def _nearest(cls, key: str, keys: Sequence[str]) -> str:
        for section, inside in (("guards", GuardBounds), ("limits", ClusterLimits)):
            if key in inside.model_fields:
                return f"; did you mean {f'{section}.{key}'!r}?"
        return did_you_mean(key, keys) or did_you_mean(key, PLANNING_PARAMETERS, "policy.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_surge == 0 and self.max_unavailable == 0:
            raise refusal("it and max_unavailable are both 0, so that no rollout could ever move", "max_surge")
        if self.initial is not None and self.start == "warm":
            raise refusal("needs start: configured; start is warm", "initial")
        return self

    def with_values(self, values: Mapping[str, Any]) -> Scenario:
        """The scenario with other values, by dotted key (`policy.beta`). Raises ScenarioError naming the key."""
        data = self.as_dict()
        for key, value in values.items():
            put(data, key.split("."), value, key)
        return validate_document(Scenario, _Given("", data, {}), error=ScenarioError)

    def as_dict(self) -> dict[str, Any]:
        """Everything, defaults included, JSON-able; `from_dict` takes it back."""
        return self.model_dump(mode="json")

    @property
    def time_hints(self) -> TimeHints:
        """What is said of the columns of the trace's file. Raises TraceError for an unknown zone."""
        return TimeHints(self.time_column, self.time_unit, self.time_zone, self.count_column, self.skip_bad_lines)

    def limits_of(self, stages: Sequence[str]) -> Limits:
        """What the cluster and the guards allow of a pipeline with these stages."""
        limits, guards = self.limits, self.guards
        least = {stage: max(guards.min_replicas, limits.min_replicas.get(stage, 1)) for stage in stages}
        most = {**limits.max_replicas}
        if guards.max_replicas is not None:
            most = {stage: min(guards.max_replicas, limits.max_replicas.get(stage, MOST_REPLICAS)) for stage in stages}
        return Limits(
            node_cores=limits.node_cores,
            min_replicas={stage: count for stage, count in least.items() if count > 1},
            max_replicas=most,
            ruled_out={stage: tuple(names) for stage, names in limits.ruled_out.items()},
            utilisation=limits.utilisation,
            price_per_core=self.price_per_core,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What a policy may have to know of the world in which it runs (`FACTS`)."""
        return {fact: getattr(self, fact) for fact in FACTS}

    @property
    def digest(self) -> str:
        """sha256 of the scenario's content."""
        return sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


class _Given(Document):
    """Values from the command line: errors name the key, as there is no line."""

    def line_of(self, loc: Loc) -> int:
        return 0

    def error_at(self, loc: Loc, text: str) -> str:
        key = key_path(self.data, loc)
        return f"{key}: {text}" if key else text


def put(data: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    """Set a value deep in plain data, creating mappings on the way."""
    if isinstance(data.get("policy"), str):
        data["policy"] = _policy(data["policy"])
    for name in path[:-1]:
        if data.get(name) is None:
            data[name] = {}
        data = data[name]
        if not isinstance(data, dict):
            raise ScenarioError(f"{key}: {name!r} holds a single value, not keys")
    data[path[-1]] = value
