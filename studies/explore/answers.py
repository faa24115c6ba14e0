"""Answers to questions: the figures of each policy over its seeds, plots, and differences from a pinned answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ipa.policies import split_spec
from ipa.studies import pages, results
from ipa.studies.explore.figures import DrawnRun, beside, plain
from ipa.studies.explore.questions import ExplorerQuestion
from ipa.studies.formatting import plus, signed
from ipa.studies.intervals import difference_of, estimate_of, limits
from ipa.studies.many import Comparison, PolicyRuns, by_policy, text_of
from ipa.studies.runs import LIVE, Figure, RunData, figures_of, unmet
from ipa.studies.scenario import Scenario, ScenarioError

Plain = dict[str, Any]
"""A JSON-able dict."""


@dataclass(frozen=True)
class Pinned:
    """What an answer is compared with: an earlier one, by its number in the tab and its question, or a live run."""

    number: int
    question: ExplorerQuestion | None = None
    measured: str = ""

    @classmethod
    def of(cls, plain: Any) -> Pinned:
        """A pin from JSON. Raises ScenarioError if it is malformed."""
        if not isinstance(plain, dict) or not isinstance(number := plain.get("number"), int):
            raise ScenarioError("should be a number, and a question or the folder of a live run")
        measured = plain.get("measured")
        if isinstance(measured, str) and measured and "\0" not in measured:
            return cls(number, measured=measured)
        return cls(number, ExplorerQuestion.of(plain.get("question")))

    @property
    def name(self) -> str:
        """What its figures are called."""
        return "measured live" if self.measured else "pinned"


def measured(folder: str) -> RunData:
    """A live run. Raises ScenarioError if the folder holds none."""
    run = results.read_run(folder)
    if run.summary["engine"] != LIVE:
        raise ScenarioError(f"{folder}: holds a simulated run, of which nothing was measured")
    return run


def answer(
    question: ExplorerQuestion,
    scenario: Scenario,
    runs: Sequence[DrawnRun],
    pinned: Pinned | None = None,
    pin: Sequence[RunData] = (),
) -> Plain:
    """The answer to a question from its runs and those of the pin; `scenario`: the question's first."""
    groups, others = _named(by_policy(runs)), _named(by_policy(pin)) if pinned else ()
    first = runs[0].summary
    figures = figures_of([run.summary for run in runs])
    comparison = Comparison(tuple(runs))
    response: Plain = {
        "policies": [_of_group(group, figures) for group in groups],
        "plots": plain(pages.comparison.plots_of_first(beside(groups, others, pinned.name) if pinned else groups)),
        "recommendation": list(map(_rounded, comparison.recommend().sentences)) if len(groups) > 1 else [],
        "unmet": [line for group in groups if (line := unmet(group.label, list(group.summaries.values())))],
        "figures": [name for name, *_ in figures],
        "made": {
            "title": _rounded(comparison.title),
            "sla_s": first["sla_s"],
            "duration_s": first["duration_s"],
            "requests": first["requests"],
            "seeds": list(groups[0].seeds),
            "engine": first["engine"],
            "version": results.versions_of("ipa-pipelines")["ipa-pipelines"],
            "load": runs[0].load,
        },
        "intervals": limits([scenario.trace]) if len(groups[0].runs) > 1 else "",
        **question.ways(scenario),
    }
    if pinned:
        response["differences"] = [
            against(row, *_counterpart(row["policy"], others), figures) for row in response["policies"]
        ]
        live = beside((), others, pinned.name) if pinned.measured else []
        response["measured"] = [{**_of_group(group, figures), "title": group.label} for group in live]
    return response


def coarse(response: Plain, seeds: int, whole_s: float | None) -> Plain:
    """A preliminary answer: with a sentence `coarse` on what it covers, and without recommendation.

    `seeds` and `whole_s`: those of the whole answer, None for a load that is not long.
    """
    part_s = response["made"]["duration_s"]
    parts = [] if whole_s is None else [f"the first {part_s:g} of {whole_s:,g} s"]
    parts += [f"seed {response['made']['seeds'][0]} of {seeds}"] if seeds > 1 else []
    return {**response, "coarse": f"Coarse: {', '.join(parts)}. The whole answer follows.", "recommendation": []}


def _named(groups: Sequence[PolicyRuns]) -> list[PolicyRuns]:
    """The groups with names that are short enough to read; their policies stay as they are."""
    return [replace(group, label=_rounded(group.label)) for group in groups]


def _rounded(text: str) -> str:
    """A text whose long fractions, such as those of a sweep's random values, have six digits."""
    return re.sub(r"\d+\.\d{6,}", lambda number: f"{float(number[0]):.6g}", text)


def _of_group(group: PolicyRuns, figures: Sequence[Figure]) -> Plain:
    return estimates_of(group.policy, _rounded(group.title), list(group.summaries.values()), figures)


def estimates_of(name: str, title: str, summaries: Sequence[Mapping[str, Any]], figures: Sequence[Figure]) -> Plain:
    """The figures of a policy (or a pipeline of a fleet) as `ipa compare` prints them: means over seeds with their
    intervals."""
    estimates: dict[str, Plain] = {}
    for figure in figures:
        column, key, factor, _ = figure
        estimate = estimate_of(key, summaries, factor)
        if estimate is None:
            estimates[column] = {"text": "-", "mean": None, "low": None, "high": None}
            continue
        ends = (estimate.low, estimate.high) if estimate.has_interval else (None, None)
        estimates[column] = {"text": text_of(figure, estimate), "mean": estimate.mean, "low": ends[0], "high": ends[1]}
    return {"policy": name, "title": title, "estimates": estimates, "runs": list(summaries)}


def _counterpart(policy: str, pinned: Sequence[PolicyRuns]) -> tuple[str, Mapping[int, Mapping[str, Any]]]:
    """The pinned policy of that name, else the same policy with other parameters, else the first."""
    name = split_spec(policy)[0]
    of_that_policy = [group for group in pinned if split_spec(group.policy)[0] == name]
    chosen = next(iter([*(group for group in pinned if group.policy == policy), *of_that_policy, *pinned]))
    return chosen.policy, chosen.summaries


def against(
    current: Plain, reference: str, reference_runs: Mapping[int, Mapping[str, Any]], figures: Sequence[Figure]
) -> Plain:
    """The differences of a policy (or pipeline) from another's runs by seed, and what they come to in words."""
    runs = {run["seed"]: run for run in current["runs"]}
    seeds = [seed for seed in runs if seed in reference_runs]
    rows: list[Plain] = []
    clear: list[str] = []
    unclear: list[str] = []
    for name, key, factor, digits in figures:
        pairs = [(runs[seed].get(key), reference_runs[seed].get(key)) for seed in seeds]
        by_seed = [
            None if value is None or reference_value is None else factor * (value - reference_value)
            for value, reference_value in pairs
        ]
        difference = difference_of(key, runs, reference_runs, factor)
        is_clear = (
            difference is not None and difference.has_interval and (difference.low > 0.0 or difference.high < 0.0)
        )
        text = "-" if difference is None else signed(difference, digits, "")
        texts = ["-" if value is None else plus(value, digits) for value in by_seed]
        rows.append({"name": name, "text": text, "seeds": texts, "values": by_seed, "is_clear": is_clear})
        if difference is not None and plus(difference.mean, digits).strip("0."):  # not zero as shown
            (clear if is_clear or len(seeds) < 2 else unclear).append(f"{name} {text}")
    words = "; ".join([*clear, *([f"within their intervals: {', '.join(unclear)}"] if unclear else [])])
    words = "no seed in common" if not seeds else words or "no difference in any figure"
    return {"policy": current["policy"], "against": reference, "seeds": seeds, "figures": rows, "words": words}
