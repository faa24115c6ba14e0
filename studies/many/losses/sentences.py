"""Losses in sentences and as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import fsum, isfinite
from typing import Any

from ipa.studies.formatting import number, plus
from ipa.studies.intervals import Estimate, held_fixed
from ipa.studies.many.losses.causes import CAUSES, CAUTION, CHANGE, FORECAST, PLANNING, START_UP, WORLD
from ipa.studies.many.losses.losses import FIGURES, OBJECTIVE, VIOLATIONS, CauseCost, Losses, LossFigure, OfPolicy

TITLES = {
    FORECAST: "Forecast error",
    PLANNING: "Planning model",
    CAUTION: "Caution",
    CHANGE: "Change",
    START_UP: "Start-up",
}

MEANINGS = {
    FORECAST: "what comes is not what was forecast",
    PLANNING: "it plans, and may change, other things than the oracle does",
    CAUTION: "margins on the load, the throughput or the SLA",
    CHANGE: "rollouts in steps, old replicas beside new ones",
    START_UP: "replicas take their time to be ready",
}
"""The meaning of each cause, as the rest of its title."""


def headline(policy: OfPolicy) -> str:
    """The difference in one sentence."""
    run, oracle, lost = policy.mean(OBJECTIVE), policy.mean_of_oracle(OBJECTIVE), -policy.difference(OBJECTIVE).mean
    figures = f"an objective of {number(run, 3)} where the oracle has {number(oracle, 3)}"
    if _is_nothing(lost, OBJECTIVE):
        return f"{policy.policy} has {figures}: it has lost nothing."
    others = _others([(figure, policy.difference(figure).mean) for figure in FIGURES[1:]])
    words = f"{number(lost, 3)} are lost" if lost > 0 else f"{number(-lost, 3)} more than the oracle"
    bought = f" {BOUGHT}" if is_bought(policy) else ""
    return f"{policy.policy} has {figures}: {words}{f', with {others}' if others else ''}.{bought}"


BOUGHT = "What is gained is bought with violations of the SLA, which the objective does not count."


def is_bought(policy: OfPolicy) -> bool:
    """Whether a policy has both a higher objective and more violations of the SLA than the oracle."""
    gained, violations = policy.difference(OBJECTIVE).mean, policy.difference(VIOLATIONS).mean
    return gained > 0 < violations and not (_is_nothing(gained, OBJECTIVE) or _is_nothing(violations, VIOLATIONS))


def of_causes(policy: OfPolicy) -> list[str]:
    """One sentence for each cause: its cost, how that depends on the order, and in which figures."""
    parts = {figure: {part.cause: part for part in policy.parts(figure)} for figure in FIGURES}
    lost = -policy.difference(OBJECTIVE).mean
    costs = [-part.mean.mean for part in parts[OBJECTIVE].values()]
    lost = fsum(cost for cost in costs if cost * lost > 0.0)  # without what other causes gain: never above 100 %
    own = policy.of_oracle(OBJECTIVE)
    sentences = []
    for cause in CAUSES:
        if cause in policy.kept:
            sentences.append(f"{TITLES[cause]} cannot be told apart from the planning model: {policy.kept[cause]}.")
            continue
        others = [(figure, parts[figure][cause].mean.mean) for figure in FIGURES[1:]]
        sentences.append(_sentence(parts[OBJECTIVE][cause], lost, others, own.get(cause)))
    return sentences


def _sentence(part: CauseCost, lost: float, others: list[tuple[LossFigure, float]], of_oracle: float | None) -> str:
    cost = -part.mean.mean
    amount = f"{number(abs(cost), 3)} of the objective"
    if of_oracle is None:
        title = f"costs {amount}" if cost > 0 else f"gains {amount}"
        title = "costs nothing" if _is_nothing(cost, OBJECTIVE) else title
    else:
        own = f"than it costs the oracle ({number(-of_oracle, 3)})"
        title = f"costs {amount} {'more' if cost > 0 else 'less'} {own}"
        title = f"costs no more {own}" if _is_nothing(cost, OBJECTIVE) else title
    if not _is_nothing(lost, OBJECTIVE) and 100.0 * cost / lost >= 0.5:
        title += f", {number(100.0 * cost / lost, 0)} % of the {'loss' if lost > 0 else 'gain'}"
    words = _others(others)
    ordered = ""
    if not _is_nothing(part.most - part.least, OBJECTIVE):
        ordered = f" (from {number(-part.most, 3)} to {number(-part.least, 3)}, depending on what is removed before)"
    return f"{TITLES[part.cause]} {title}{ordered}{f': {words}' if words else ''}."


def _others(differences: list[tuple[LossFigure, float]]) -> str:
    """`0.40 cores more, 0.10 PAS less`; differences that round to zero are left out."""
    return ", ".join(
        f"{number(abs(value), figure.decimals)} {figure.more if value > 0 else figure.less}"
        for figure, value in differences
        if isfinite(value) and not _is_nothing(value, figure)
    )


def _is_nothing(value: float, figure: LossFigure) -> bool:
    return not isfinite(value) or abs(value) < 0.5 * 10.0**-figure.decimals


def order(policy: OfPolicy) -> str:
    """The stated order of removal, as a sentence."""
    titles = [TITLES[cause].lower() for cause in policy.losses[0].removals.causes]
    return f"The stated order of removal: {', '.join(titles)}."


def recorded(policy: OfPolicy) -> str:
    """How the given runs differ from the same runs simulated anew; empty if they do not."""
    figures, again = policy.losses[0].recorded, policy.losses[0].run
    words = _others([(figure, figures[figure.key] - again[figure.key]) for figure in FIGURES if figure.key in figures])
    return f"The run itself had {words} than it has simulated now, which is not explained here." if words else ""


def removal(policy: OfPolicy, cause: str) -> str:
    """The changes of keys that remove a cause."""
    if cause in policy.kept:
        return f"not alone: {policy.kept[cause]}"
    changes = policy.losses[0].removals.changes(cause)
    texts = [f"{key}: {_value(value)}" for key, value in changes.items()]
    if cause == CHANGE:
        texts.append("cost: planned_cost_mean_cores in place of cost_mean_cores")
    return "; ".join(texts) or "nothing to change"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def table_row(policy: OfPolicy, cause: str) -> list[str]:
    """The signed share of a cause in each difference, and in the objective's for the stated order and for any."""
    parts = {figure: next(part for part in policy.parts(figure) if part.cause == cause) for figure in FIGURES}
    objective = parts[OBJECTIVE]
    return [
        *(_signed(parts[figure].mean, figure) for figure in FIGURES),
        plus(objective.in_order, 3),
        f"{plus(objective.least, 3)} to {plus(objective.most, 3)}",
    ]


def difference_row(policy: OfPolicy) -> list[str]:
    """The whole differences, in a row like `table_row`."""
    return [*(_signed(policy.difference(figure), figure) for figure in FIGURES), "", ""]


def overview_row(policy: OfPolicy) -> list[str]:
    """The objective lost, in all and to each cause; then the other figures' differences from the oracle's."""
    parts = {part.cause: part.mean.mean for part in policy.parts(OBJECTIVE)}
    whole = policy.difference(OBJECTIVE)
    return [
        _signed(Estimate(-whole.mean, -whole.high, -whole.low), OBJECTIVE),
        *(plus(-parts[cause], OBJECTIVE.decimals) if cause in parts else "" for cause in CAUSES),
        *(plus(policy.difference(figure).mean, figure.decimals) for figure in FIGURES[1:]),
    ]


OVERVIEW_COLUMNS = ("objective lost", *CAUSES, "cores", "PAS", "violations")
"""The columns of `overview_row`."""

_INTERVALS = "Intervals over seeds are Student's; of violations that only some seeds have, they are too narrow."


def intervals(policies: Sequence[OfPolicy]) -> str:
    """A remark on the intervals over seeds; empty if there are none."""
    several = [policy for policy in policies if len(policy.losses) > 1]
    return f"{_INTERVALS} {held_fixed(policy.scenario.trace for policy in several)}".rstrip() if several else ""


NOT_ALONE = "Empty: cannot be told apart from planning."
"""The remark below an overview with a row that lacks a cause."""

COLUMNS = (*(figure.title for figure in FIGURES), "in the stated order", "in any order")
"""The columns of `table_row` and `difference_row`; the last two are of the objective."""


def _signed(value: Estimate, figure: LossFigure) -> str:
    if not isfinite(value.mean):
        return "–"
    text = plus(value.mean, figure.decimals)
    return f"{text} ± {number(value.high - value.mean, figure.decimals)}" if value.has_interval else text


def as_dict(losses: Losses) -> dict[str, Any]:
    """Everything, ready for JSON: differences are the run's figure less the oracle's."""
    return {
        "policies": [
            {
                "policy": policy.policy,
                "pipeline": policy.scenario.pipeline,
                "trace": policy.scenario.trace,
                "seeds": policy.seeds,
                "run": {figure.key: _plain(policy.mean(figure)) for figure in FIGURES},
                "oracle": {figure.key: _plain(policy.mean_of_oracle(figure)) for figure in FIGURES},
                "difference": {figure.key: _plain(policy.difference(figure).mean) for figure in FIGURES},
                "order": list(policy.losses[0].removals.causes),
                "causes": _causes(policy),
                "not_removed": dict(policy.kept),
                "headline": headline(policy),
                "sentences": of_causes(policy),
            }
            for policy in losses.policies
        ],
    }


def _causes(policy: OfPolicy) -> dict[str, Any]:
    causes: dict[str, Any] = {}
    for figure in FIGURES:
        oracle = policy.of_oracle(figure)
        for part in policy.parts(figure):
            words = causes.setdefault(part.cause, {"removed_by": removal(policy, part.cause)})
            words[figure.key] = {
                **{name: _plain(value) for name, value in _shares(part).items()},
                **({"of_oracle": _plain(oracle[part.cause])} if part.cause in WORLD else {}),
            }
    return causes


def _shares(part: CauseCost) -> Mapping[str, float]:
    interval = {"low": part.mean.low, "high": part.mean.high} if part.mean.has_interval else {}
    return {"mean": part.mean.mean, **interval, "in_order": part.in_order, "least": part.least, "most": part.most}


def _plain(value: float) -> float | None:
    return value if isfinite(value) else None
