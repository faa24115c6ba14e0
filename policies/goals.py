"""Goals: objectives in a user's terms, in place of weights.

    {max: accuracy, cores_at_most: 20}           the most accuracy that so many cores reach; of equals the fewest cores
    {min: cost, accuracy_at_least: 35}           the fewest cores that reach it; of equals the most accuracy
    {min: cost, accuracy_at_least: {detect: 60}} the same, of single stages
    {late_at_most: 0.01}                         of the requests of any hour, the share that may be late
    {ttft_at_most_s: 0.5}                        the planned p99 of the time to first token, at the last language model

Accuracies are per cent: the PAS of tables and reports, or a variant's own at a stage. The last two go with either of
the others, or with the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Configuration, PolicyError

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage, Variant

KEYS = ("max", "min", "cores_at_most", "accuracy_at_least", "late_at_most", "ttft_at_most_s")
WEIGHTS = ("alpha", "beta", "gamma", "accuracy", "accuracy_scale", "accuracy_floor")
"""The parameters that an aim replaces."""

ROUNDING = 1e-9
"""Of per cents, which are products of decimals."""


@dataclass(frozen=True)
class Goal:
    """A goal. `aim`: maximise "accuracy" or minimise "cost"; None: as the weights say.

    `accuracy_at_least` of the whole pipeline and `stage_accuracy_at_least` by stage are per cent.
    """

    aim: str | None = None
    cores_at_most: int | None = None
    accuracy_at_least: float | None = None
    stage_accuracy_at_least: Mapping[str, float] = field(default_factory=dict, hash=False)
    late_at_most: float | None = None
    ttft_at_most_s: float | None = None

    @classmethod
    def of(cls, value: Any, pipeline: Pipeline) -> Goal | None:
        """A goal as a scenario has it, for a pipeline; None for none. A `Goal` is returned as it is, unchecked.

        PolicyError: an unknown key, stage or aim, a value out of range, an accuracy that no variants reach, or fewer
        cores than one replica a stage takes.
        """
        if value is None or isinstance(value, Goal):
            return value
        goal = cls.parsed(value)
        goal._check_reachable(pipeline)
        return goal

    @classmethod
    def parsed(cls, goal: Any) -> Goal:
        """A goal as a scenario has it, for any pipeline. PolicyError: an unknown key or aim, a value out of range."""
        if not isinstance(goal, Mapping):
            raise PolicyError(f"goal={goal!r} should be a mapping, such as {{max: accuracy, cores_at_most: 20}}")
        checks.known("key", map(str, goal), KEYS, suffix=" of goal")
        for key, value in goal.items():
            if value is None:
                raise PolicyError(f"goal.{key} is empty; give a value, or leave it out")
        values: dict[str, Any] = {"aim": _aim(goal)}
        if "cores_at_most" in goal:
            values["cores_at_most"] = checks.integer("goal.cores_at_most", goal["cores_at_most"])
        if "late_at_most" in goal:
            values["late_at_most"] = checks.number("goal.late_at_most", goal["late_at_most"], above=0, at_most=0.5)
        if "ttft_at_most_s" in goal:
            values["ttft_at_most_s"] = checks.number("goal.ttft_at_most_s", goal["ttft_at_most_s"], above=0)
        least = goal.get("accuracy_at_least")
        if isinstance(least, Mapping):
            by_stage = {str(name): _per_cent(f"goal.accuracy_at_least.{name}", value) for name, value in least.items()}
            values["stage_accuracy_at_least"] = by_stage
        elif least is not None:
            values["accuracy_at_least"] = _per_cent("goal.accuracy_at_least", least)
        return cls(**values)

    def is_prompt_at(self, pipeline: Pipeline, stage: Stage, variant: Variant, at_once: int) -> bool:
        """Whether so many requests at once have their first tokens in time, if any is asked for at the stage."""
        model, tokens = variant.language_model, stage.tokens
        if self.ttft_at_most_s is None or model is None or tokens is None or stage is not answering(pipeline):
            return True
        return model.ttft_s(at_once, tokens) <= self.ttft_at_most_s

    @property
    def wants_accuracy(self) -> bool:
        """Whether some accuracy must be reached."""
        return self.accuracy_at_least is not None or bool(self.stage_accuracy_at_least)

    def is_enough_at(self, stage: str, accuracy: float) -> bool:
        """Whether a variant with an accuracy from 0 to 1 has what is asked of its stage."""
        return 100 * accuracy >= self.stage_accuracy_at_least.get(stage, 0.0) - ROUNDING

    def is_accurate_enough(self, pipeline: Pipeline, configuration: Configuration, accuracy: float) -> bool:
        """Whether a configuration with an accuracy from 0 to 1 has what is asked of it and of its stages."""
        least = 0.0 if self.accuracy_at_least is None else self.accuracy_at_least
        return 100 * accuracy >= least - ROUNDING and all(
            self.is_enough_at(name, pipeline.stage(name).variant(configuration[name].variant).accuracy)
            for name in self.stage_accuracy_at_least
        )

    def core_limit(self, limit_cores: int | None) -> int | None:
        """The limit of cores, or the goal's if that is less; None: there is none."""
        return min((limit for limit in (limit_cores, self.cores_at_most) if limit is not None), default=None)

    def weights(self, pipeline: Pipeline) -> dict[str, Any]:
        """The weights under which the best plan is that of the aim; none where there is no aim.

        For the most accuracy cores have no weight: ties go to fewer of them. For the least cost, the changes of
        variants decide among the cheapest plans, then accuracy (see `scales`). Accuracy is at most 1 and weighs as much
        as one stage's change; all stages' changes and accuracy together weigh less than a core.
        """
        if self.aim is None:
            return {}
        least = 0.5 ** (len(pipeline.stages) + 1).bit_length()
        alpha, beta = (1.0, 0.0) if self.aim == "accuracy" else (least, 1.0 / pipeline.limits.price_per_core)
        accuracy = "pairs" if pipeline.pair_accuracies else "product"
        return dict(zip(WEIGHTS, (alpha, beta, 0.0, accuracy, "raw", 0.0), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """As a scenario has it."""
        aim: dict[str, Any] = {} if self.aim is None else {"max" if self.aim == "accuracy" else "min": self.aim}
        accuracy = self.accuracy_at_least or dict(self.stage_accuracy_at_least) or None
        values = {"cores_at_most": self.cores_at_most, "accuracy_at_least": accuracy, "late_at_most": self.late_at_most}
        values["ttft_at_most_s"] = self.ttft_at_most_s
        return aim | {key: value for key, value in values.items() if value is not None}

    def _check_reachable(self, pipeline: Pipeline) -> None:
        stages = {stage.name: stage for stage in pipeline.stages}
        checks.known("stage", self.stage_accuracy_at_least, stages, suffix=" of goal.accuracy_at_least")
        for name, least in self.stage_accuracy_at_least.items():
            best = max(stages[name].variants, key=lambda variant: variant.accuracy)
            if 100 * best.accuracy < least - ROUNDING:
                raise PolicyError(
                    f"goal.accuracy_at_least.{name}={least:g} cannot be reached; the most accurate variant, "
                    f"{best.name}, has {100 * best.accuracy:g}"
                )
        if self.accuracy_at_least is not None:
            most = 100 * most_accurate(pipeline)
            if most < self.accuracy_at_least - ROUNDING:
                raise PolicyError(
                    f"goal.accuracy_at_least={self.accuracy_at_least:g} cannot be reached; the most accurate variants "
                    f"of {pipeline.name} have {most:.4g} together"
                )
        if self.ttft_at_most_s is not None:
            self._check_first_tokens(pipeline, self.ttft_at_most_s)
        if self.cores_at_most is not None:
            check_cores(pipeline, "goal.cores_at_most", self.cores_at_most)

    def _check_first_tokens(self, pipeline: Pipeline, most_s: float) -> None:
        stage = answering(pipeline)
        if stage is None or stage.tokens is None:
            raise PolicyError(f"goal.ttft_at_most_s: {pipeline.name} has no language models; leave it out")
        models = [variant.language_model for variant in stage.variants]
        least_s = min(model.ttft_s(1, stage.tokens) for model in models if model is not None)
        if least_s > most_s:
            raise PolicyError(
                f"goal.ttft_at_most_s={most_s:g} cannot be reached; a request by itself at {stage.name} takes "
                f"{least_s:.4g} s, in the p99"
            )


NO_GOAL = Goal()
"""Nothing is asked for."""


def goal_of(policy: object) -> Goal:
    """The goal for which a policy, or the policy that it guards, plans; `NO_GOAL` if it has none."""
    while policy is not None:
        programme: Any = getattr(policy, "programme", None)
        if programme is not None:
            goal: Goal = programme.wanted
            return goal
        policy = getattr(policy, "policy", None)
    return NO_GOAL


def answering(pipeline: Pipeline) -> Stage | None:
    """The last stage of language models, whose tokens users wait for; None if there is none."""
    return next((stage for stage in reversed(pipeline.stages) if stage.tokens is not None), None)


def check_cores(pipeline: Pipeline, key: str, cores_at_most: int) -> None:
    """PolicyError: a limit of cores, named `key`, below what a replica of each stage's lightest variant takes."""
    lightest = [stage.lightest() for stage in pipeline.stages]
    least = sum(variant.base_cores for variant in lightest)
    if cores_at_most < least:
        replicas = " + ".join(f"{variant.name} {variant.base_cores}" for variant in lightest)
        raise PolicyError(
            f"{key}: {cores_at_most} is less than one replica a stage takes; allowed: at least {least} ({replicas})"
        )


def check_gpus(pipeline: Pipeline, key: str, gpus_at_most: int) -> None:
    """PolicyError: a limit of GPUs, named `key`, of a pipeline without any, or below what one replica a stage takes."""
    if not pipeline.has_gpus:
        raise PolicyError(f"{key}: no variant of {pipeline.name} has GPUs; leave it out")
    fewest = [min(stage.variants, key=lambda variant: variant.gpus) for stage in pipeline.stages]
    least = sum(variant.gpus for variant in fewest)
    if gpus_at_most < least:
        replicas = " + ".join(f"{variant.name} {variant.gpus}" for variant in fewest if variant.gpus)
        raise PolicyError(
            f"{key}: {gpus_at_most} is less than one replica a stage takes; allowed: at least {least} ({replicas})"
        )


def most_accurate(pipeline: Pipeline) -> float:
    """The highest accuracy of a pipeline's variants together, from 0 to 1."""
    if pipeline.measured_accuracies:
        return max(pipeline.measured_accuracies.values())
    return pipeline.accuracy_of([max(s.variants, key=lambda v: v.accuracy).name for s in pipeline.stages])


def _aim(goal: Mapping[str, Any]) -> str | None:
    if "max" in goal and "min" in goal:
        raise PolicyError("goal has max and min; give one of them")
    if "max" in goal:
        return checks.choice("goal.max", goal["max"], ("accuracy",))
    if "min" in goal:
        return checks.choice("goal.min", goal["min"], ("cost",))
    for key in ("cores_at_most", "accuracy_at_least"):
        if key in goal:
            raise PolicyError(f"goal has {key} and no aim; give max: accuracy or min: cost beside it")
    return None


def _per_cent(key: str, value: Any) -> float:
    return checks.number(key, value, above=0, at_most=100)
