"""The runs of a report by policy: a group is a policy with its seeds, its label and its colour."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ipa.studies.drawing import colour, merged_latency_quantiles_s, panel_title
from ipa.studies.intervals import Estimate, estimate_of
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

    from ipa.sim import FloatArray
    from ipa.studies.runs import RunData

_SAME_FOR_ALL = ("pipeline", "trace", "sla_s", "duration_s")


@dataclass(frozen=True)
class Group:
    """The runs of one policy, one per seed; `label` is safe in HTML and in the text of a plot."""

    policy: str
    label: str
    colour: str
    runs: tuple[RunData, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds in the order given."""
        return tuple(int(run.summary["seed"]) for run in self.runs)

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The tables of the first seed, which the plots over time show."""
        return self.runs[0].tables

    @property
    def accuracies(self) -> Mapping[str, Mapping[str, float]]:
        """Stage -> variant -> accuracy; empty in results of earlier versions."""
        return self.runs[0].accuracies

    @property
    def summaries(self) -> Mapping[int, Mapping[str, Any]]:
        """The runs' summaries by seed."""
        return {int(run.summary["seed"]): run.summary for run in self.runs}

    def values(self, key: str) -> dict[int, float | None]:
        """A figure of the summary by seed."""
        return {seed: summary[key] for seed, summary in self.summaries.items()}

    def estimate(self, key: str, factor: float = 1.0) -> Estimate | None:
        """A figure's mean over the seeds with its interval, times a factor; None where no run has it."""
        return estimate_of(key, self.summaries.values(), factor)

    def merged_latency_s(self, quantiles: Sequence[float]) -> FloatArray | None:
        """Quantiles of the requests of all seeds together, where the mean over the seeds is of quantiles."""
        return merged_latency_quantiles_s([run.tables for run in self.runs], quantiles)


def merged_latencies(groups: Sequence[Group]) -> str:
    """The p50 and p99 of all seeds' requests together, in words; empty for a single seed or without records."""
    said = [
        f"{group.label} {found[0]:.2f} and {found[1]:.2f}"
        for group in groups
        if len(group.runs) > 1 and (found := group.merged_latency_s((0.5, 0.99))) is not None
    ]
    return f"p50 and p99 of the requests of all seeds together, in s: {', '.join(said)}." if said else ""


def by_policy(runs: Sequence[RunData]) -> tuple[Group, ...]:
    """The runs grouped by policy, in order of first appearance.

    Raises ScenarioError for no runs, runs on different loads, or a policy with the same seed twice.
    """
    if not runs:
        raise ScenarioError("a report needs at least one run")
    for key in _SAME_FOR_ALL:
        given = list(dict.fromkeys(run.summary[key] for run in runs))
        if len(given) > 1:
            raise ScenarioError(f"a report compares runs on the same load; {key} is {given[0]!r} and {given[1]!r}")
    found: dict[str, list[RunData]] = {}
    for run in runs:
        found.setdefault(str(run.summary["policy"]), []).append(run)
    labels = _labels(list(found))
    groups = tuple(
        Group(policy, labels[policy], colour(place), tuple(of_policy))
        for place, (policy, of_policy) in enumerate(found.items())
    )
    for group in groups:
        if len(set(group.seeds)) < len(group.seeds):
            raise ScenarioError(f"policy {group.policy!r} appears twice with the same seed")
    return groups


def panel_titles(groups: Sequence[Group], more: Sequence[str]) -> list[str]:
    """The titles of panels, one per policy, each with what it says beside the name."""
    return [panel_title(group.label, group.colour, text) for group, text in zip(groups, more, strict=True)]


def _labels(policies: Sequence[str]) -> dict[str, str]:
    """Names without the folders of a policy's file, unless two would then be the same."""
    short = [re.sub(r"^\S*/(?=[^/\s]*\.py:)", "", policy) for policy in policies]
    names = short if len(set(short)) == len(short) else policies
    return {policy: escape(name, quote=False) for policy, name in zip(policies, names, strict=True)}
