"""InfAdapter: accuracy, cost and the cost of loading weighed against each other; variants are mixed.

After M. Salmani, S. Ghafouri, A. Sanaee, K. Razavi, M. Mühlhäuser, J. Doyle, P. Jamshidi and M. Sharifi, "Reconciling
High Accuracy, Cost-Efficiency, and Low Latency of Inference Serving Systems", EuroMLSys 2023. For one model it chooses
a set of variants, the cores of each, and the share of the load that each gets:

    maximise      alpha x AA - (beta x RC + gamma x LC)
    subject to    for every variant:  share x load <= throughput,  its latency is at most the SLA
                  the cores of all are at most the budget

AA is the accuracy of the requests in percent, weighted by the shares; RC the cores; LC the longest start-up time, in
seconds, of a variant that has to be loaded, 0 if none has. Requests are not batched.

Departures. InfAdapter serves one model; here each stage of a pipeline is one, with its stage's SLA, all share the
budget, and the objectives add up. More cores for a variant are more replicas with its base cores. A mix has at most two
variants (see `ipa.policies.mixing`). The forecast is the predictor's for the next 30 s, where InfAdapter has an LSTM of
its own. A variant is loaded if its stage's configuration does not have it, whatever replicas still stand. The weights
are parameters; their defaults are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

from ipa.policies import checks
from ipa.policies.interface import PolicyError, Predictor
from ipa.policies.mixing import (
    LEAST_RPS,
    MIXING_PARAMETERS,
    Candidate,
    Chosen,
    Front,
    MixingPolicy,
    Option,
    best_of,
    options,
)
from ipa.policies.predictors import DEFAULT_PREDICTOR

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage, Variant

PERCENT = 100.0
HORIZON_S = 30.0
DEFAULTS = {"alpha": 1.0, "beta": 0.2, "gamma": 0.1}
"""The weights that count where none are given, and no goal."""


class InfAdapter(MixingPolicy):
    """Mixed variants by accuracy, cores and start-up times, without batches.

    `alpha`: the weight of a percentage point of a stage's accuracy. `beta`: the weight of a core. `gamma`: the weight
    of a second until a new variant is loaded. A goal's aim replaces all three; the accuracy of a pipeline is then the
    product of its stages'. `horizon_s`: how far the forecast looks. For other parameters see `MixingPolicy`.
    PolicyError: an impossible value.
    """

    further_parameters: ClassVar[tuple[str, ...]] = MIXING_PARAMETERS

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        alpha: float = DEFAULTS["alpha"],
        beta: float = DEFAULTS["beta"],
        gamma: float = DEFAULTS["gamma"],
        predictor: str | Mapping[str, Any] | Predictor = DEFAULT_PREDICTOR,
        horizon_s: float | None = HORIZON_S,
        **mixing: Any,
    ) -> None:
        checks.known("parameter", mixing, MIXING_PARAMETERS)
        super().__init__(pipeline, predictor=predictor, horizon_s=horizon_s, **mixing)
        self.alpha = checks.number("alpha", alpha, at_least=0)
        self.beta = checks.number("beta", beta, at_least=0)
        self.gamma = checks.number("gamma", gamma, at_least=0)
        weights = {"alpha": alpha, "beta": beta, "gamma": gamma}
        if self.goal.aim is not None and (given := [key for key in weights if weights[key] != DEFAULTS[key]]):
            raise PolicyError(f"goal and {given[0]}: what a goal aims at has no weights; give one of the two")

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        weights = {} if self.goal.aim is not None else {key: getattr(self, key) for key in DEFAULTS}
        return {**weights, **super().parameters}

    def choose(
        self,
        load_rps: float,
        limit_cores: int | None,
        stages: Sequence[Sequence[Variant]],
        loaded: Sequence[frozenset[str]],
    ) -> Chosen:
        """The options for a load above 0."""
        candidates = [self._in_time(stage, of) for stage, of in zip(self._pipeline.stages, stages, strict=True)]

        def best(rps: float, most_cores: int | None) -> Sequence[Option] | None:
            if self.goal.aim is not None:
                fronts = [Front((each, each.accuracy) for each in options(found, rps)) for found in candidates]
                answer = self.for_goal([fronts], most_cores)
                return None if answer is None else answer.options
            valued = [
                [(option, self._value(option, there)) for option in options(found, rps)]
                for found, there in zip(candidates, loaded, strict=True)
            ]
            if most_cores is None:
                return [max(of, key=lambda pair: (pair[1], -pair[0].cores))[0] for of in valued]
            answer = best_of([Front(of) for of in valued], most_cores, add)
            return None if answer is None else answer.options

        free = best(load_rps, None)
        assert free is not None
        if limit_cores is None or sum(each.cores for each in free) <= limit_cores:
            return Chosen(free, "optimal", self.met, load_rps)
        bound = best(load_rps, limit_cores)
        if bound is not None:
            return Chosen(bound, "optimal", "cores", load_rps)
        served = self.most_served(load_rps, lambda rps: best(rps, limit_cores))
        if served is not None:
            return served
        smallest = [min(options(found, LEAST_RPS), key=lambda each: each.cores) for found in candidates]
        return Chosen(smallest, "most-throughput", "cores", 0.0)

    def _in_time(self, stage: Stage, variants: Sequence[Variant]) -> list[Candidate]:
        """The variants whose single request is served within the stage's SLA; else the fastest."""
        found = self.candidates(variants, stage.sla_s, most_batch=1)
        if found:
            return found
        fastest = min(variants, key=lambda each: each.p99_s(1))
        return self.candidates([fastest], fastest.p99_s(1), most_batch=1)

    def _value(self, option: Option, loaded: frozenset[str]) -> float:
        variants = [part.candidate.variant for part in option.parts]
        loading_s = max((each.start_up_s for each in variants if each.name not in loaded), default=0.0)
        return self.alpha * PERCENT * option.accuracy - self.beta * option.cores - self.gamma * loading_s
