"""Static: one fixed configuration, the baseline for everything that adapts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipa.numbers import number_of
from ipa.policies import checks
from ipa.policies.configurations import check_stage, factors_of, lightest, refuse_excluded, standing
from ipa.policies.interface import Decision, Memory, Observation, PolicyError, StageConfiguration, mix_by_weight, mix_of
from ipa.policies.optimiser import Programme
from ipa.policies.switch_only import replicas_argument

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage

KEYS = ("variant", "batch", "replicas", "batch_timeout_s")
MIX_KEYS = (*KEYS, "share")


class Static:
    """A fixed configuration, whatever the load.

    `configuration`: stage -> variant, batch (default 1), replicas (default 1) and batch_timeout_s (default: 0 for a
    batch of 1, else the least of (batch - 1) / planned_load_rps, 1 s and half the drop limit), or mix: a list of
    these, each with its share of the requests; None: the lightest variants and batches of 1. `replicas`: stage ->
    number, in place of a configuration; None: one each. `planned_load_rps`: the load for the default batch timeout, in
    requests per second. A variant that has failed to start is replaced by the lightest that has not (rung
    "no-accuracy"); in a mix, the others get its requests.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        configuration: Mapping[str, Mapping[str, Any]] | None = None,
        replicas: Mapping[str, int] | None = None,
        planned_load_rps: float = 0.0,
    ) -> None:
        if configuration is not None and replicas is not None:
            raise PolicyError("configuration and replicas are both given; give only one of them")
        stages = [stage.name for stage in pipeline.stages]
        self._pipeline = pipeline
        self._programme = Programme.of(pipeline)
        self._planned_rps = checks.number("planned_load_rps", planned_load_rps, at_least=0)
        counts = checks.mapping("replicas", dict.fromkeys(stages, 1) if replicas is None else replicas, stages)
        if configuration is None:
            configuration = {s.name: {"variant": lightest(s), "replicas": counts[s.name]} for s in pipeline.stages}
        given = checks.mapping("configuration", configuration, stages)
        self._items_rps = dict.fromkeys(stages, self._planned_rps)
        self.configuration = self._configured(given)
        if pipeline.graph is not None:
            factors = factors_of(pipeline, {name: each.variant for name, each in self.configuration.items()})
            self._items_rps = {name: self._planned_rps * factor for name, factor in factors.items()}
            self.configuration = self._configured(given)

    def _configured(self, given: Mapping[str, Any]) -> dict[str, StageConfiguration]:
        stages = enumerate(self._pipeline.stages)
        return {stage.name: self._stage_configuration(k, stage, given[stage.name]) for k, stage in stages}

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        return {
            "configuration": {
                name: {"mix": [{key: getattr(part, key) for key in MIX_KEYS} for part in stage.parts]}
                if stage.is_mix
                else {key: getattr(stage, key) for key in KEYS}
                for name, stage in self.configuration.items()
            }
        }

    @property
    def mixes(self) -> bool:
        """Whether it mixes variants within a stage."""
        return any(stage.is_mix for stage in self.configuration.values())

    @staticmethod
    def from_argument(argument: str, pipeline: Pipeline) -> dict[str, Any]:
        """The parameters of `static:3,2` (replicas), or of variant:batch:replicas for each stage.

        A mix is written variant:batch:replicas@share+variant:batch:replicas@share.
        """
        if ":" not in argument:
            return {"replicas": replicas_argument(argument, pipeline)}
        words = [_said(word) for word in argument.split(",")]
        stages = [stage.name for stage in pipeline.stages]
        if None in words or len(words) != len(stages):
            raise PolicyError(f"static:{argument} must be variant:batch:replicas for each of: {', '.join(stages)}")
        return {"configuration": dict(zip(stages, words, strict=True))}

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The configuration, in which only variants that have failed to start are replaced."""
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

    def _working(self, observation: Observation) -> tuple[dict[str, StageConfiguration], tuple[str, ...]]:
        configuration, notes = dict(self.configuration), []
        for stage in self._pipeline.stages:
            failed = observation.stages[stage.name].failed_variants
            chosen = configuration[stage.name]
            if chosen.is_mix:
                chosen = configuration[stage.name] = _standing_mix(chosen, failed)
                if chosen != self.configuration[stage.name]:
                    notes.append(f"{stage.name}: {', '.join(failed)} failed to start")
                if chosen.is_mix:
                    continue
            other = stage.variant(standing(stage, chosen.variant, failed))
            if other.name == chosen.variant:
                continue
            notes.append(f"{stage.name}: {chosen.variant} has failed to start")
            configuration[stage.name] = replace(
                chosen,
                variant=other.name,
                batch=min(chosen.batch, other.max_batch()),
                cores=other.base_cores,
            )
        return configuration, tuple(notes)

    def _mix(self, k: int, stage: Stage, given: Mapping[str, Any]) -> StageConfiguration:
        key = f"configuration.{stage.name}"
        checks.known("key", given, ("mix",), of=f" beside mix in {key}")
        parts = given["mix"]
        if not isinstance(parts, list | tuple) or not all(isinstance(part, Mapping) for part in parts) or not parts:
            raise PolicyError(f"{key}.mix={parts!r} must be a list, each entry with {', '.join(MIX_KEYS)}")
        made = []
        for part in parts:
            own = {name: value for name, value in part.items() if name != "share"}
            share = checks.number(f"{key}.share", part.get("share", 0.0), at_least=0)
            made.append(replace(self._stage_configuration(k, stage, own), share=share))
        mix = mix_of(made)
        try:
            check_stage(stage, mix, self._pipeline.limits)
        except PolicyError as error:
            raise PolicyError(f"{key}: {error}") from None
        return mix

    def _stage_configuration(
        self, k: int, stage: Stage, given: StageConfiguration | Mapping[str, Any]
    ) -> StageConfiguration:
        key = f"configuration.{stage.name}"
        if isinstance(given, StageConfiguration):
            given = {name: getattr(given, name) for name in KEYS}
        if isinstance(given, Mapping) and "mix" in given:
            return self._mix(k, stage, given)
        if not isinstance(given, Mapping):
            raise PolicyError(f"{key}={given!r} must have {', '.join(KEYS)}")
        checks.known("key", given, KEYS, of=f" in {key}")
        if "variant" not in given:
            raise PolicyError(f"{key} lacks variant")
        refuse_excluded(self._pipeline, stage.name, given["variant"])
        names = [variant.name for variant in stage.variants]
        variant = stage.variant(checks.choice(f"{key}.variant", given["variant"], names))
        batch = checks.integer(f"{key}.batch", given.get("batch", 1))
        if batch > variant.max_batch():
            raise PolicyError(
                f"{key}.batch={batch} is above the largest profiled for {variant.name}: {variant.max_batch()}"
            )
        timeout_s = given.get("batch_timeout_s")
        if timeout_s is None:
            timeout_s = self._programme.batch_timeout_s(k, batch, self._items_rps[stage.name])
        return StageConfiguration(
            variant=variant.name,
            batch=batch,
            replicas=checks.integer(f"{key}.replicas", given.get("replicas", 1)),
            batch_timeout_s=checks.number(f"{key}.batch_timeout_s", timeout_s, at_least=0),
            cores=variant.base_cores,
        )


_PART = re.compile(r"([^:+@]+):([0-9]+):([0-9]+)(?:@([^+@]+))?")
"""variant:batch:replicas, in a mix with its share."""


def _said(word: str) -> dict[str, Any] | None:
    """One stage of an argument; None for what is none."""
    found = [_PART.fullmatch(each) for each in word.split("+")]
    parts = [(each[1], int(each[2]), int(each[3]), each[4]) for each in found if each is not None]
    if len(parts) < len(found):
        return None
    said = [{"variant": name, "batch": batch, "replicas": count} for name, batch, count, _ in parts]
    if len(said) == 1 and parts[0][3] is None:
        return said[0]
    shares = [number_of(share or "") for *_, share in parts]
    mix = [{**each, "share": float(share)} for each, share in zip(said, shares, strict=True) if share is not None]
    return {"mix": mix} if len(mix) == len(said) else None


def _standing_mix(mix: StageConfiguration, failed: Sequence[str]) -> StageConfiguration:
    """The mix without variants that have failed to start, whose requests the others get; unchanged if all have."""
    parts = [part for part in mix.parts if part.variant not in failed] or list(mix.parts)
    return mix_by_weight(parts) if len(parts) < len(mix.parts) else mix
