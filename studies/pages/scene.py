"""Shared by the plots of a page of runs: the runs of each policy, their clock, and the reasons of decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from textwrap import wrap
from typing import Any

from ipa.policies import Entry, Explanation, OptimisingPolicy
from ipa.studies.formatting import number
from ipa.studies.many import PolicyRuns
from ipa.studies.pages.clock import Clock
from ipa.studies.pages.plots import safe
from ipa.studies.runs import explained, planner


@dataclass(frozen=True)
class Scene:
    """The runs of each policy; the first one's load and SLA are shown. `labels`: the policies' names as plotly takes
    them."""

    groups: tuple[PolicyRuns, ...]

    @cached_property
    def clock(self) -> Clock:
        """The time of the longest run."""
        return Clock(max(group.duration_s for group in self.groups), self.groups[0].runs[0].starts_at)

    @property
    def sla_s(self) -> float:
        """The SLA, end to end."""
        return self.groups[0].sla_s

    @property
    def labels(self) -> list[str]:
        """The policies' names as plotly takes them."""
        return [safe(group.label) for group in self.groups]

    @property
    def first(self) -> str:
        """The sentence that plots over time show only one seed; empty with a single seed."""
        if all(len(group.runs) == 1 for group in self.groups):
            return ""
        first = {group.seeds[0] for group in self.groups}
        return f" Seed {first.pop()} only." if len(first) == 1 else " The first seed of each policy only."

    @cached_property
    def reasons(self) -> tuple[Reasons, ...]:
        """The reasons of each policy's decisions."""
        return tuple(map(Reasons, self.groups))


# ---- why each decision was made, in the few lines that the pointer shows ----


LINE = 58
"""The width of a line of hover text [characters]; longer ones are wrapped."""

_BINDING = {
    "none": "no limit keeps a better one out",
    "sla": "bound by the SLA",
    "cores": "bound by the limit of cores",
    "replicas": "bound by the limit of replicas",
    "sla+cores": "bound by the SLA and the limit of cores together",
    "variants": "bound by the variants allowed",
}


class Reasons:
    """The reasons of the decisions of a policy's first seed, by step."""

    def __init__(self, group: PolicyRuns) -> None:
        self._run = group.runs[0]
        table = group.tables["decisions"].drop_duplicates("step")
        self._rows: dict[int, Mapping[Any, Any]] = {int(row["step"]): row for row in table.to_dict("records")}
        self._kept: dict[int, str] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps with a decision."""
        return tuple(self._rows)

    def of(self, step: int) -> str:
        """The reasons of a step's decision, as lines of HTML."""
        if step not in self._kept:
            lines = [*_lines(self._rows[step]), *self._second(step), *_notes(self._rows[step])]
            self._kept[step] = "<br>".join(part for line in lines for part in _wrapped(line))
        return self._kept[step]

    def _second(self, step: int) -> Iterator[str]:
        entry = self._entries.get(step)
        if entry is None:
            return
        explanation = explained(self._planner, entry) if self._planner else None
        if explanation is not None:
            yield _runner_up(explanation)
        if entry.decision.why is not None:
            yield from _prices(entry.decision.why)

    @cached_property
    def _planner(self) -> OptimisingPolicy | None:
        try:
            return planner(self._run.scenario)
        except (KeyError, ValueError):
            return None  # results of an earlier version, or made by hand

    @cached_property
    def _entries(self) -> Mapping[int, Entry]:
        try:
            return {entry.observation.step: entry for entry in self._run.entries}
        except ValueError:
            return {}  # kept without its journal


def _lines(row: Mapping[Any, Any]) -> Iterator[str]:
    forecast, planned = row["forecast_rps"], row["planned_load_rps"]
    if isfinite(forecast):
        yield f"forecast {number(forecast, 1)} rps" + (
            f", planned for {number(planned, 1)}" if isfinite(planned) else ""
        )
    if row.get("rung") not in (None, "optimal"):
        yield "at the start" if row["rung"] == "initial" else f"rung: {row['rung']}"
    if isinstance(row.get("binding"), str):
        yield _BINDING.get(row["binding"], f"bound by {row['binding']}")
    if not row.get("feasible", True):
        yield "load, SLA and limits could not all be met"
    if not row.get("accepted", True):
        yield "refused: the configuration before stayed"


def _notes(row: Mapping[Any, Any]) -> Iterator[str]:
    if row.get("notes"):
        yield from str(row["notes"]).split("; ")


def _runner_up(explanation: Explanation) -> str:
    second = explanation.runner_up
    if second is None:
        return "no runner-up"
    changed = [
        f"{stage} {planned.variant} {planned.replicas}×b{planned.batch}"
        for stage, planned in second.configuration.items()
        if planned != explanation.configuration[stage]
    ]
    less = f"objective {second.difference:.2g} less" if second.difference else "equally good"
    return f"runner-up: {', '.join(changed)}; {less}"


def _prices(why: Mapping[str, Any]) -> Iterator[str]:
    """The shadow prices that a full journal has."""
    for key, change in (("one_more_core", "one more core"), ("ten_ms_of_sla", "10 ms more of SLA")):
        price = why.get(key)
        if isinstance(price, Mapping):
            yield f"{change}: {_worth(price)}"


def _worth(price: Mapping[str, Any]) -> str:
    if price.get("configuration") is None:
        return "no other plan"
    gain = price.get("gain")
    return f"rung {price.get('rung')}" if gain is None else f"objective {gain:.2g} more"


def _wrapped(line: str) -> list[str]:
    return [safe(part) for part in wrap(line, LINE, subsequent_indent="  ")]
