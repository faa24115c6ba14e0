"""Loki: hardware first, at full accuracy, then accuracy; variants are mixed by shares of the traffic.

After S. Ahmad, H. Guan, B. D. Friedman, T. Williams, R. K. Sitaraman and T. Woo, "Loki: A System for Serving ML
Inference Pipelines with Hardware and Accuracy Scaling", HPDC 2024. Its resource manager solves two programmes:

    1. hardware scaling: every stage has its most accurate variant; minimise the cores
    2. accuracy scaling, if these exceed the cluster: maximise the mean accuracy of the requests

    subject to    for every stage and variant:  share x load <= replicas x throughput(variant, batch)
                  the latencies of any path through the variants used add up to at most SLA / 2
                  the cores of all replicas are at most the limit

with one batch size for each variant. The other half of the SLA is for queueing. Within a stage, the most accurate
variants get all the load that they sustain (its load balancer's "most accurate first"). If even the least accurate
variants cannot serve the load, as much as possible is served; Loki then drops early, like a run with `drop: deadline`.

Departures. Loki counts servers; here a replica takes its variant's base cores. Its load balancer chooses variants for
whole paths; here each stage draws independently, so the pipeline's accuracy is the product of the stages' means, and
every path through the variants used occurs. A mix has at most two variants (see `ipa.policies.mixing`). The load is
the predictor's, where Loki takes an exponentially weighted mean. Requests that can no longer be in time are not
rerouted to faster variants.

Trees. Each stage has a load of its own, by the mean number of items that the variants before it put there, and the
latencies add up along each path. Both programmes are then those of the optimiser, with the mean over the exits of the
products along the paths for the accuracy, one variant for each stage (no mixes), and the wait for a batch to fill and
the services of a burst counted among the latencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from ipa.policies.interface import PolicyError
from ipa.policies.mixing import Chosen, Combination, Front, MixingPolicy, Option, Part, options
from ipa.policies.optimiser import Problem, Programme, Solution, solve

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Variant

PART_OF_SLA = 0.5
"""The share of the SLA for the batches of all stages together."""


class Loki(MixingPolicy):
    """Hardware scaling at full accuracy; under a core limit, accuracy scaling with mixed variants.

    With a goal of the least cost, the fewest cores of mixed variants that reach its accuracy. For the parameters see
    `MixingPolicy`. PolicyError: an impossible value.
    """

    def check_graph(self, pipeline: Pipeline) -> None:
        """PolicyError for a graph that is no tree. In a tree variants are not mixed."""
        self.mixes = False
        joined = [name for name in pipeline.by_name if pipeline.graph and len(pipeline.graph.into(name)) > 1]
        if joined:
            raise PolicyError(
                f"policy 'loki' takes chains and trees only, and the stages of {pipeline.name} form a graph in which "
                f"{joined[0]} has several edges before it"
            )

    def choose(
        self,
        load_rps: float,
        limit_cores: int | None,
        stages: Sequence[Sequence[Variant]],
        loaded: Sequence[frozenset[str]],
    ) -> Chosen:
        """The options for a load above 0."""
        if self._pipeline.graph is not None:
            return self._on_tree(load_rps, limit_cores, stages)
        budget_s = self._budget_s(stages)
        exceeds = budget_s > PART_OF_SLA * self.programme.target_s
        rung = "sla-excess" if exceeds else "optimal"
        if self.goal.aim == "cost" and (found := self._mixed(stages, load_rps, budget_s, limit_cores)) is not None:
            return Chosen(found.options, rung, "sla" if exceeds else self.met, load_rps)
        best = [[max(variants, key=lambda each: each.accuracy)] for variants in stages]
        within = self._fewest_cores(best, load_rps, budget_s)
        if within is not None and (limit_cores is None or sum(each.cores for each in within) <= limit_cores):
            return Chosen(within, rung, "sla" if exceeds else "none", load_rps)
        if limit_cores is not None or self.goal.aim == "accuracy":
            found = self._mixed(stages, load_rps, budget_s, limit_cores)
            if found is not None:
                return Chosen(found.options, rung, "sla" if limit_cores is None else "cores", load_rps)
        if limit_cores is not None:

            def fits(rps: float) -> Sequence[Option] | None:
                chosen = self._fewest_cores(stages, rps, budget_s)
                return chosen if chosen is not None and sum(each.cores for each in chosen) <= limit_cores else None

            if (served := self.most_served(load_rps, fits)) is not None:
                return served
        fewest = self._fewest_cores(stages, load_rps if limit_cores is None else 1e-9, budget_s)
        assert fewest is not None, "the budget is at least what the fastest variants take"
        if limit_cores is None:
            return Chosen(fewest, "no-accuracy", "sla", load_rps)
        return Chosen(fewest, "most-throughput", "cores", 0.0)

    @cached_property
    def _half(self) -> Programme:
        """The programme for the most accuracy, then the fewest cores, within half the SLA."""
        within_s = PART_OF_SLA * self.programme.target_s
        return replace(
            self.programme.most_accurate, sla_s=within_s, accuracy="product", accuracy_scale="raw", accuracy_floor=0.0
        )

    def _on_tree(self, load_rps: float, limit_cores: int | None, stages: Sequence[Sequence[Variant]]) -> Chosen:
        names = [stage.name for stage in self._pipeline.stages]
        best = [[max(variants, key=lambda each: each.accuracy).name] for variants in stages]
        every = [[each.name for each in variants] for variants in stages]
        binding = "none"
        for allowed in (best, every):
            asked = Problem(self._half, load_rps, limit_cores, variants=dict(zip(names, allowed, strict=True)))
            found = solve(asked)
            if found.feasible:
                return Chosen(self._options(found), "optimal", binding, load_rps)
            binding = found.binding
        return Chosen(self._options(found), found.rung, found.binding, min(found.sustained_rps, load_rps))

    def _options(self, found: Solution) -> list[Option]:
        made = []
        for stage in self._pipeline.stages:
            wanted, variant = found.configuration[stage.name], stage.variant(found.configuration[stage.name].variant)
            size = next(each for each in self.sizes(variant) if each.batch == wanted.batch)
            made.append(Option((Part(size, wanted.replicas, 1.0),), wanted.total_cores, variant.accuracy))
        return made

    def _budget_s(self, stages: Sequence[Sequence[Variant]]) -> float:
        """Half the SLA, or what the fastest variants take if that is longer."""
        fastest_s = sum(min(variant.p99_s(1) for variant in variants) for variants in stages)
        return max(PART_OF_SLA * self.programme.target_s, fastest_s)

    def _thresholds(self, stages: Sequence[Sequence[Variant]], budget_s: float) -> list[tuple[float, ...]]:
        """The time limits of the stages' batches, in all relevant divisions; the last stage has the remainder."""
        of_stages = [
            sorted({size.latency_s for variant in variants for size in self.sizes(variant)}) for variants in stages
        ]
        *first, last = of_stages
        found = []
        for taken in product(*first):
            left_s = budget_s - sum(taken)
            fitting = [each for each in last if each <= left_s]
            if fitting:
                found.append((*taken, fitting[-1]))
        return found

    def _fewest_cores(
        self, stages: Sequence[Sequence[Variant]], load_rps: float, budget_s: float
    ) -> list[Option] | None:
        """Each stage served by one variant, with the fewest cores, then the greatest accuracy; None: none in time."""
        fronts: dict[tuple[int, float], Option | None] = {}

        def cheapest(k: int, within_s: float) -> Option | None:
            if (k, within_s) not in fronts:
                found = self.candidates(stages[k], within_s)
                alone = [each for each in options(found, load_rps) if len(each.parts) == 1]
                fronts[k, within_s] = min(alone, key=lambda each: (each.cores, -each.accuracy), default=None)
            return fronts[k, within_s]

        ways = []
        for within in self._thresholds(stages, budget_s):
            chosen = [cheapest(k, within_s) for k, within_s in enumerate(within)]
            whole = [each for each in chosen if each is not None]
            if len(whole) == len(chosen):
                ways.append(whole)
        return min(
            ways,
            key=lambda way: (sum(each.cores for each in way), -prod(each.accuracy for each in way)),
            default=None,
        )

    def _mixed(
        self, stages: Sequence[Sequence[Variant]], load_rps: float, budget_s: float, limit_cores: int | None
    ) -> Combination | None:
        """The greatest product of accuracies within the limit, or what a goal wants; None: nothing serves the load."""
        fronts: dict[tuple[int, float], Front] = {}

        def front(k: int, within_s: float) -> Front:
            if (k, within_s) not in fronts:
                found = options(self.candidates(stages[k], within_s), load_rps)
                fronts[k, within_s] = Front((each, each.accuracy) for each in found)
            return fronts[k, within_s]

        ways = [
            [front(k, within_s) for k, within_s in enumerate(within)] for within in self._thresholds(stages, budget_s)
        ]
        return self.for_goal(ways, limit_cores)
