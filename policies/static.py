"""Static: one fixed configuration, the baseline for everything that adapts.

It is given, or the optimiser's best plan for a load: that of the run's busiest minute, which only a simulation knows
beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.configurations import factors_of, lightest, refuse_excluded, standing
from ipa.policies.interface import Decision, Memory, Observation, PolicyError, StageConfiguration
from ipa.policies.ipa import decision_from_solution
from ipa.policies.optimiser import Problem, Programme, SolutionCache
from ipa.policies.switch_only import replicas_argument

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage

KEYS = ("variant", "batch", "replicas", "batch_timeout_s")


class Static:
    """A fixed configuration, whatever the load.

    `configuration`: stage -> variant, batch (default 1), replicas (default 1) and batch_timeout_s (default: 0 for a
    batch of 1, else the least of (batch - 1) / planned_load_rps, 1 s and half the drop limit). `replicas`: stage ->
    number of the lightest variants with batches of 1, in place of a configuration. Without either: the best plan by the
    pipeline's weights. `planned_load_rps`: the load for the default batch timeout or the best plan, in requests per
    second; None: 0 for a timeout, for a plan the mean of the load's busiest minute, known beforehand, with the
    pipeline's `load_margin`. A variant that has failed to start is replaced by the lightest that has not (rung
    "no-accuracy"), or planned without.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        configuration: Mapping[str, Mapping[str, Any]] | None = None,
        replicas: Mapping[str, int] | None = None,
        planned_load_rps: float | None = None,
    ) -> None:
        if configuration is not None and replicas is not None:
            raise PolicyError("configuration and replicas are both given; give only one of them")
        stages = [stage.name for stage in pipeline.stages]
        self._pipeline = pipeline
        self._programme = Programme.of(pipeline)
        self._answers = SolutionCache(self._programme)
        self.planned_load_rps = planned_load_rps
        self._planned_rps = 0.0
        if planned_load_rps is not None:
            self._planned_rps = checks.number("planned_load_rps", planned_load_rps, at_least=0)
        self._items_rps = dict.fromkeys(stages, self._planned_rps)
        self.configuration: dict[str, StageConfiguration] = {}  # empty: the best plan for a load
        if replicas is not None:
            counts = checks.mapping("replicas", replicas, stages)
            configuration = {s.name: {"variant": lightest(s), "replicas": counts[s.name]} for s in pipeline.stages}
        if configuration is not None:
            by_stage = checks.mapping("configuration", configuration, stages)
            self.configuration = self._configured(by_stage)
            if pipeline.graph is not None:
                factors = factors_of(pipeline, {name: stage.variant for name, stage in self.configuration.items()})
                self._items_rps = {name: self._planned_rps * factor for name, factor in factors.items()}
                self.configuration = self._configured(by_stage)

    @property
    def reads(self) -> tuple[str, ...]:
        """The load's busiest minute, where the plan is for that."""
        return () if self.configuration or self.planned_load_rps is not None else ("peak_rps",)

    def _configured(self, by_stage: Mapping[str, Any]) -> dict[str, StageConfiguration]:
        stages = enumerate(self._pipeline.stages)
        return {stage.name: self._stage_configuration(k, stage, by_stage[stage.name]) for k, stage in stages}

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        if not self.configuration:
            return {"configuration": None, "planned_load_rps": self.planned_load_rps}
        return {
            "configuration": {
                name: {key: getattr(stage, key) for key in KEYS} for name, stage in self.configuration.items()
            }
        }

    @staticmethod
    def from_argument(argument: str, pipeline: Pipeline) -> dict[str, Any]:
        """The parameters of `static:3,2` (replicas), or of variant:batch:replicas for each stage."""
        if ":" not in argument:
            return {"replicas": replicas_argument(argument, pipeline)}
        stages = [stage.name for stage in pipeline.stages]
        words = [match for word in argument.split(",") if (match := _WORD.fullmatch(word))]
        if len(words) != argument.count(",") + 1 or len(words) != len(stages):
            raise PolicyError(f"static:{argument} must be variant:batch:replicas for each of: {', '.join(stages)}")
        return {
            "configuration": {
                stage: {"variant": word[1], "batch": int(word[2]), "replicas": int(word[3])}
                for stage, word in zip(stages, words, strict=True)
            }
        }

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The configuration, in which only variants that have failed to start are replaced; or the best plan."""
        if not self.configuration:
            return self._best(observation, memory)
        configuration, notes = self._working(observation)
        cores = sum(stage.total_cores for stage in configuration.values())
        limit = observation.limit_cores
        within = limit is None or cores <= limit
        if not within:
            notes = (*notes, f"takes {cores} cores; limit: {limit}")
        return Decision(
            configuration=configuration,
            memory=memory,
            objective=self._programme.score(configuration),
            binding="none" if within else "cores",
            rung="no-accuracy" if configuration != self.configuration else "optimal",
            feasible=within and configuration == self.configuration,
            notes=notes,
        )

    def _best(self, observation: Observation, memory: Memory) -> Decision:
        """The best plan for the load that is known. PolicyError: none is, outside a simulation."""
        load_rps, why = self._planned_rps, ""
        if self.reads:
            if observation.peak_rps is None:
                raise PolicyError(
                    "the policy 'static' plans for the load's busiest minute, which only a simulation knows; give it "
                    "replicas, as in static:3,2"
                )
            load_rps = observation.peak_rps * (1 + self._pipeline.defaults.load_margin)
            why = f"the best plan for the load's busiest minute, {observation.peak_rps:.4g} rps, known beforehand"
        failed = {name: stage.failed_variants for name, stage in observation.stages.items()}
        problem = Problem(
            self._programme, load_rps, observation.limit_cores, limit_gpus=observation.limit_gpus, failed=failed
        )
        decision = decision_from_solution(self._answers.solve(problem), memory, load_rps, load_rps)
        return replace(decision, notes=(*decision.notes, why)) if why else decision

    def _working(self, observation: Observation) -> tuple[dict[str, StageConfiguration], tuple[str, ...]]:
        configuration, notes = dict(self.configuration), []
        for stage in self._pipeline.stages:
            failed = observation.stages[stage.name].failed_variants
            chosen = configuration[stage.name]
            standing_variant = stage.variant(standing(stage, chosen.variant, failed))
            if standing_variant.name == chosen.variant:
                continue
            notes.append(f"{stage.name}: {chosen.variant} has failed to start")
            configuration[stage.name] = replace(
                chosen,
                variant=standing_variant.name,
                batch=min(chosen.batch, standing_variant.max_batch()),
                cores=standing_variant.base_cores,
            )
        return configuration, tuple(notes)

    def _stage_configuration(
        self, k: int, stage: Stage, configuration: StageConfiguration | Mapping[str, Any]
    ) -> StageConfiguration:
        key = f"configuration.{stage.name}"
        if isinstance(configuration, StageConfiguration):
            configuration = {name: getattr(configuration, name) for name in KEYS}
        if not isinstance(configuration, Mapping):
            raise PolicyError(f"{key}={configuration!r} must have {', '.join(KEYS)}")
        checks.known("key", configuration, KEYS, suffix=f" in {key}")
        if "variant" not in configuration:
            raise PolicyError(f"{key} lacks variant")
        refuse_excluded(self._pipeline, stage.name, configuration["variant"])
        names = [variant.name for variant in stage.variants]
        variant = stage.variant(checks.choice(f"{key}.variant", configuration["variant"], names))
        batch = checks.integer(f"{key}.batch", configuration.get("batch", 1))
        if batch > variant.max_batch():
            raise PolicyError(
                f"{key}.batch={batch} is above the largest profiled for {variant.name}: {variant.max_batch()}"
            )
        timeout_s = configuration.get("batch_timeout_s")
        if timeout_s is None:
            timeout_s = self._programme.batch_timeout_s(k, batch, self._items_rps[stage.name])
        return StageConfiguration(
            variant=variant.name,
            batch=batch,
            replicas=checks.integer(f"{key}.replicas", configuration.get("replicas", 1)),
            batch_timeout_s=checks.number(f"{key}.batch_timeout_s", timeout_s, at_least=0),
            cores=variant.base_cores,
        )


_WORD = re.compile(r"([^:]+):([0-9]+):([0-9]+)")
"""A stage in an argument: variant:batch:replicas."""
