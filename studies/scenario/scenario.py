"""A scenario: everything that one run depends on, as one validated value, from a YAML file or the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ipa.numbers import in_own_unit
from ipa.policies import (
    FACTS,
    MOST_REPLICAS,
    PLANNING_PARAMETERS,
    PolicyError,
    is_settings_file,
    read_settings,
    split_spec,
    take_from_spec,
)
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
from ipa.studies.scenario.bounds import ClusterLimits, GuardBounds
from ipa.studies.scenario.errors import ScenarioError
from ipa.studies.scenario.loads import Windows, parse_windows
from ipa.studies.scenario.ranges import LARGEST, Counting, Factor, NotNegative, Positive, Whole
from ipa.studies.scenario.start import StageStart
from ipa.traces import NOTHING_SAID, Reading

SCHEMA_VERSION = 1

LONGEST_HISTORY_S = 86_400

LONGEST_LABEL = 80
"""The most characters of a label, so that tables have room for it."""

STAGE_KEYS = ("initial", "drop_limits_s")
"""Keys that hold values by stage."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A sha256, in hexadecimal digits."""

LARGEST_SEED = 2**63 - 1
"""The largest seed that a table's column can hold."""


def _policy(value: object) -> object:
    """A policy's name alone means the policy without parameters."""
    if isinstance(value, str | Mapping | PolicyChoice):
        return {"name": value} if isinstance(value, str) else value
    value_text = "nothing" if value is None else repr(value)
    raise refusal(f"should be the name of a policy, or a mapping with its name and parameters; given {value_text}")


def _windows(value: object) -> object:
    if not isinstance(value, str | list | tuple | None):
        raise refusal(f"should be START:END in seconds, or a list of these; given {value!r}")
    try:
        return parse_windows(value)
    except ValueError as error:
        raise refusal(f"{error}; given {value!r}") from None


def _outages(value: object) -> object:
    windows = _windows(value)
    for start, end in windows or ():  # type: ignore[attr-defined]
        if not 0 <= start < end < inf:
            raise refusal(f"an outage should begin at 0 or later and before its end; given {start:g}:{end:g}")
    return windows


def _label(value: object) -> object:
    is_line = isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= LONGEST_LABEL
    if value is not None and not is_line:
        raise refusal(f"label should be a line of text of at most {LONGEST_LABEL} characters; given {value!r}")
    return value


def _from_settings(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A policy named by a file with an autoscaler's settings, as the policy that these are."""
    if not is_settings_file(split_spec(data["name"])[0]):
        return data
    file, own = split_spec(data["name"])
    try:
        settings = read_settings(file)
    except PolicyError as error:
        raise refusal(str(error)) from None
    label = data["label"] if data.get("label") is not None else Path(file).name
    return {**settings.parameters, **own, **data, "name": settings.policy, "label": label}


class PolicyChoice(BaseModel):
    """A policy by name (or `file.py:Class`) with its parameters beside it, which the policy itself checks.

    The name of a YAML file with an autoscaler's settings means the policy that behaves so (`read_settings`).
    `label` is what tables and reports call it, by default its name. Like parameters it may follow in the name, from
    which it is taken.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    name: str
    label: Annotated[str | None, BeforeValidator(_label)] = None

    @model_validator(mode="before")
    @classmethod
    def _label_of_name(cls, data: Any) -> Any:
        if not (isinstance(data, Mapping) and isinstance(data.get("name"), str)):
            return data
        data = {key: in_own_unit(value, key) if key not in ("name", "label") else value for key, value in data.items()}
        name, label = take_from_spec(data["name"], "label")
        if name != data["name"]:
            if data.get("label") is not None:
                raise refusal(f"label: given twice, {label!r} and {data['label']!r}")
            data = {**data, "name": name, "label": "" if label is None else label}
        return _from_settings(data)

    @model_serializer(mode="wrap")
    def _without_no_label(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = whole(self)
        return data if self.label is not None else {key: value for key, value in data.items() if key != "label"}

    @property
    def title(self) -> str:
        """The policy's name in tables, reports and folders."""
        return self.label or self.name

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters given, by name."""
        return dict(self.model_extra or {})


class Scenario(FileModel):
    """One run. Every default is the model's own (docs/model.md); times in seconds, resources in cores.

    `Scenario(pipeline="video", seed=2)` raises ScenarioError for a wrong key or value, as a file does.
    """

    schema_version: Literal[1] = Field(default=1, description="the version of the format")
    kind: Literal["scenario"] = Field(default="scenario", description="what the file is")
    pipeline: str = Field(description="a shipped pipeline's name, or the path of a pipeline file")
    policy: Annotated[PolicyChoice, BeforeValidator(_policy, json_schema_input_type=str | PolicyChoice)] = Field(
        default=PolicyChoice(name="ipa"),
        description="a policy by name (`scale-only:high`), class (`my.py:MyPolicy`) or an autoscaler's settings "
        "(`hpa.yaml`), with parameters behind it; or a "
        "mapping: name, the policy's parameters, and label, its name in tables and reports",
    )
    seed: Whole = Field(
        default=1, le=LARGEST_SEED, description="determines every random draw of the run, and a synthetic trace"
    )

    trace: str = Field(default="bursty", description="a named load, `constant:25`, `twitter:bursty`, or a file")
    read: Reading = Field(
        default=NOTHING_SAID, description="what a trace file's columns mean, where it leaves that open"
    )
    trace_sha256: dict[str, Digest] = Field(
        default_factory=dict,
        description="trace -> the sha256 of its file, which is refused if it has another; known to results folders",
    )
    window: Annotated[Windows | None, BeforeValidator(_windows, json_schema_input_type=str | list[Any] | None)] = Field(
        default=None, description="the seconds of the trace to use, START:END; several are joined"
    )
    scale: Positive = Field(default=1.0, description="factor on the trace's requests")
    scaling: choices.Scaling = Field(
        default="thin",
        description="thin: draw the requests at random, which keeps the mean; floor: round the scaled counts down",
    )
    arrivals: choices.Arrivals = Field(default="poisson", description="how requests are spread within a second")

    sla_s: Positive | None = Field(
        default=None, le=LARGEST, description="end-to-end SLA, divided in the pipeline's proportions; default: its own"
    )
    interval_s: Positive = Field(default=10.0, description="time between two decisions")
    history_s: Counting = Field(default=120, le=LONGEST_HISTORY_S, description="seconds of load that a decision sees")
    decision_delay_s: NotNegative = Field(
        default=0.0, description="time from an observation until its decision takes effect"
    )
    outages: Annotated[Windows | None, BeforeValidator(_outages, json_schema_input_type=str | list[Any] | None)] = (
        Field(default=None, description="the seconds of the run, START:END, in which no metrics come; several: a list")
    )
    metrics_delay_s: NotNegative = Field(
        default=0.0,
        description="how old the load and the measurements are that a decision sees; 85 with an HPA's usual adapters",
    )
    start: choices.Start = Field(
        default="warm",
        description="warm: the policy's first decision is ready; configured: `initial` is",
    )
    initial: dict[str, StageStart] | None = Field(
        default=None,
        description="stage -> what is ready at the start; default: the lightest variants, one replica each",
    )
    limit_cores: Counting | None = Field(
        default=None,
        description="cores of the cluster: the optimiser plans within them, a guard enforces them, and no more exist "
        "at any time, with replicas that start or drain",
    )
    limit_gpus: Counting | None = Field(
        default=None,
        description="GPUs of the cluster; as limit_cores",
    )
    when_full: choices.WhenFull = Field(
        default="replace",
        description="what a rollout without room within the limits does. replace: it removes one replica before it "
        "adds one; wait: it waits for room",
    )
    guards: GuardBounds = Field(default=GuardBounds(), description="rules for the decisions of any policy")
    limits: ClusterLimits = Field(default=ClusterLimits(), description="what the cluster allows")
    price_per_core: Positive = Field(
        default=1.0, le=LARGEST, description="price of a core, such as per hour; the optimiser weighs cores by it"
    )

    price_per_gpu: Positive | None = Field(
        default=None,
        le=LARGEST,
        description="price of a GPU, a multiple of `price_per_core`; default: that times the pipeline's `gpu_cores`",
    )

    service_times: choices.ServiceTimes = Field(
        default="lognormal",
        description="lognormal: fitted to mean and p99; mean: every batch takes the mean",
    )
    hop_s: NotNegative = Field(default=0.0, description="network delay from one stage to the next")
    dispatch_overhead_s: NotNegative = Field(
        default=0.0, description="time that a batch takes beyond its profile; policies plan without it"
    )
    service_factor: Positive = Field(
        default=1.0, description="factor on profiled batch times (1.1: 10 % slower); policies plan with the profile"
    )
    profile_factors: dict[str, dict[str, Factor]] = Field(
        default_factory=dict,
        description="stage -> variant -> factor on profiled batch times (0.5: twice as fast); policies plan with it",
    )
    start_up_s: NotNegative | None = Field(
        default=None, description="start-up time of every variant, known to policies; default: the pipeline's"
    )
    start_up_extra_s: NotNegative = Field(
        default=0.0, description="added to every start-up time; policies do not know it"
    )
    stop_s: NotNegative = Field(default=0.0, description="from a replica's last batch until it is gone")
    max_surge: Whole | None = Field(
        default=None,
        description="most replicas above the desired number in a rollout; default: a quarter of it, rounded up",
    )
    max_unavailable: Whole = Field(default=0, description="most replicas below the desired number in a rollout")
    removal: choices.Removal = Field(
        default="drain",
        description="drain: a removed replica finishes its batch; lose: the requests that it holds fail",
    )
    dispatch: choices.Dispatch = Field(
        default="central",
        description="central (pull): a batch waits in the stage's queue for a free replica; eager (push): it goes to a "
        "replica's own queue at once",
    )
    drop: choices.Drop = Field(
        default="request",
        description="request: drop each request that is too old; batch: the batch that has one; deadline: also each "
        "that cannot be in time",
    )
    drop_limits_s: dict[str, Positive] = Field(
        default_factory=dict,
        description="stage -> age at which a request is dropped; default: the pipeline's, else 2 x SLA at the first "
        "stage and the SLA at later ones",
    )
    engine: choices.Engine = Field(
        default="auto",
        description="compiled needs numba; auto takes it where it is installed; the results are the same",
    )
    records: choices.Records = Field(
        default="all",
        description="which requests are kept; sample: some, with counts of all in intervals; with sample or none "
        "memory stays bounded, and latency quantiles have a relative error of up to 0.1 %",
    )
    journal: choices.Journal = Field(
        default="lean",
        description="full: observations have all fields, so that any policy can replay them, and decisions say "
        "more of why",
    )

    if not TYPE_CHECKING:  # type checkers derive a better signature from the keys

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise ScenarioError(in_words(error, Given("", values, {}))) from None

        # Files are validated without it: their own errors know the lines.
        __init__.__pydantic_base_init__ = True

    @classmethod
    def _nearest(cls, key: str, keys: Sequence[str]) -> str:
        for section, inside in (("guards", GuardBounds), ("limits", ClusterLimits), ("read", Reading)):
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
        return validate_document(Scenario, Given("", data, {}), error=ScenarioError)

    def as_dict(self) -> dict[str, Any]:
        """All keys with their values, defaults included, JSON-able."""
        return self.model_dump(mode="json")

    def limits_of(self, stages: Sequence[str]) -> Limits:
        """The limits of the cluster and the guards for a pipeline with these stages."""
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
            gpus=self.limit_gpus,
            price_per_core=self.price_per_core,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the world that a policy may need (`FACTS`)."""
        return {fact: getattr(self, fact) for fact in FACTS}

    @property
    def digest(self) -> str:
        """sha256 of the scenario's content."""
        return sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


class Given(Document):
    """Values without a file: errors name the key, as there is no line."""

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
