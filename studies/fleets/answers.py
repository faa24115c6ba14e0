"""What a budget costs each pipeline of a fleet: against being alone, and against one core or GPU more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import fsum
from typing import NamedTuple

import numpy as np

from ipa.policies import OptimisingPolicy, create
from ipa.policies.optimiser import Programme
from ipa.policies.sharing import Step
from ipa.sim import FloatArray
from ipa.studies.displayed import Displayed
from ipa.studies.fleets.fleet import Fleet, units_taken
from ipa.studies.fleets.run import FleetRun, simulate_fleet
from ipa.studies.runs import Run, simulate
from ipa.studies.scenario import Shared

WORST_S = 600.0
"""The length of the worst time of a pipeline: ten minutes."""


@dataclass(frozen=True, slots=True)
class MemberOutcome:
    """How one run of a pipeline came out: the share of late or lost requests, its accuracy (PAS), and its objective
    (None without a journal)."""

    late: float
    pas: float | None
    objective: float | None


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One pipeline of a fleet: what it wanted and got, and how it came out in the fleet, alone, and with one unit more
    (None: live, where there is only the one run).

    `wanted` and `got` are cores, or GPUs if the fleet shares these. They are means over time: of the whole run, and of
    the ten minutes in which it got least of what it wanted.
    """

    name: str
    priority: float
    wanted: float
    got: float
    worst_wanted: float
    worst_got: float
    alone: MemberOutcome | None
    fleet: MemberOutcome
    more: MemberOutcome | None

    @property
    def lacking(self) -> float:
        """The share of what it wanted that it did not get."""
        return 1.0 - self.got / self.wanted if self.wanted else 0.0


class UnitsOverTime(NamedTuple):
    """When the steps of a pipeline were, ending with the end of its load; what it wanted, and what it got."""

    times_s: FloatArray
    wanted: FloatArray
    got: FloatArray


@dataclass(frozen=True)
class FleetAnswers(Displayed):
    """What a run of a fleet tells: the rows of its table, and what each pipeline had over time, by name.

    `short`: the share of the time in which some pipeline got less than it wanted.
    """

    PAGE = "fleet"

    fleet: Fleet
    rows: Sequence[MemberRow]
    over_time: Mapping[str, UnitsOverTime]
    short: float

    @property
    def has_alone(self) -> bool:
        """Whether the rows say how each pipeline came out alone."""
        return self.rows[0].alone is not None


def answered(
    fleet: Fleet, shared: Shared | None = None, on_step: Callable[[], object] = lambda: None
) -> tuple[FleetRun, FleetAnswers]:
    """Run a fleet, each of its pipelines alone within the same budget, and the fleet with one core, or GPU, more.

    Returns the run of the fleet, and what all of them tell. Raises as `simulate_fleet`.
    """
    shared = Shared() if shared is None else shared
    run = simulate_fleet(fleet, shared, on_step)
    alone = {
        member.name: simulate(fleet.scenario_of(member), lambda _: on_step(), shared=shared)
        for member in fleet.pipelines
    }
    larger_run = simulate_fleet(fleet.with_values({f"limit_{fleet.resource}": fleet.budget + 1}), shared, on_step)
    return run, answers_of(run, alone, larger_run.runs)


def answers_of(
    run: FleetRun, alone: Mapping[str, Run] | None = None, with_one_more: Mapping[str, Run] | None = None
) -> FleetAnswers:
    """What a run tells, beside those of its pipelines alone and of the fleet with one unit more, if these are there."""
    rows, units_by_pipeline = [], {}
    for member in run.fleet.pipelines:
        name = member.name
        units = units_by_pipeline[name] = units_over_time(run, name)
        worst = worst_window(*units)
        mean_wanted, mean_got = mean_units(units)
        worst_wanted, worst_got = mean_units(units, worst)
        rows.append(
            MemberRow(
                name,
                member.priority,
                wanted=mean_wanted,
                got=mean_got,
                worst_wanted=worst_wanted,
                worst_got=worst_got,
                alone=None if alone is None else outcome_of(alone[name]),
                fleet=outcome_of(run.runs[name]),
                more=None if with_one_more is None else outcome_of(with_one_more[name]),
            )
        )
    return FleetAnswers(run.fleet, rows, units_by_pipeline, short_share(run))


def mean_units(units: UnitsOverTime, window: slice = slice(None)) -> tuple[float, float]:
    """What a pipeline wanted and got, in the mean over time; `window`: of these steps."""
    weights = np.diff(units.times_s)[window]
    wanted, got = (float(np.average(steps[window], weights=weights)) for steps in (units.wanted, units.got))
    return wanted, got


def units_over_time(run: FleetRun, name: str) -> UnitsOverTime:
    """What a pipeline of a run had at each time."""
    of_run = run.runs[name]
    ready = units_taken(run.fleet.resource, of_run.pipeline, of_run.initial)
    return units_of_steps([step for step in run.steps if step.pipeline == name], ready, of_run.summary["duration_s"])


def units_of_steps(steps: Iterable[Step], ready: int, end_s: float) -> UnitsOverTime:
    """What a pipeline had from its steps to the end of its load.

    A configured start has no step at time 0: what was `ready` then counts as wanted and got.
    """
    units = [(step.time_s, step.wanted, step.got) for step in steps]
    if not units or units[0][0] > 0:
        units = [(0.0, ready, ready), *units]
    times_s, wanted, got = map(np.array, zip(*units, strict=True))
    return UnitsOverTime(np.append(np.minimum(times_s, end_s), end_s), wanted.astype(float), got.astype(float))


def worst_window(times_s: FloatArray, wanted_units: FloatArray, got_units: FloatArray) -> slice:
    """The steps of the ten minutes in which most was lacking; among equals, most was wanted; then the first."""
    best, key = slice(0, len(wanted_units)), (-1.0, -1.0)
    lasting_s = np.diff(times_s)
    for first, since_s in enumerate(times_s[:-1].tolist()):
        end = int(np.searchsorted(times_s, since_s + WORST_S))
        if end >= len(times_s) and first:  # ten minutes are not left
            break
        window = slice(first, min(end, len(wanted_units)))
        lacked_s, wanted_s = (
            float((units[window] * lasting_s[window]).sum()) for units in (wanted_units - got_units, wanted_units)
        )
        if (lacked_s, wanted_s) > key:
            best, key = window, (lacked_s, wanted_s)
    return best


def outcome_of(run: Run) -> MemberOutcome:
    """How a run came out, by the programme of its policy, or of the pipeline if the policy solves none."""
    scenario = run.scenario
    objective = None
    if scenario.records != "none":
        objective = run.objective(_programme(run))
    return MemberOutcome(run.summary["sla_violation_rate"], run.summary["pas_mean"], objective)


def _programme(run: Run) -> Programme:
    scenario = run.scenario
    policy = create(scenario.policy.name, run.pipeline, scenario.policy.parameters, scenario.facts)
    return policy.programme if isinstance(policy, OptimisingPolicy) else Programme.of(run.pipeline)


def short_share(run: FleetRun) -> float:
    """The share of the time in which some pipeline got less than it wanted."""
    lacking: dict[str, bool] = {}
    changes = []
    for time_s, steps in groupby(run.steps, key=lambda step: step.time_s):
        for step in steps:
            lacking[step.pipeline] = step.got < step.wanted
        changes.append((time_s, any(lacking.values())))
    end_s: float = max(member_run.summary["duration_s"] for member_run in run.runs.values())
    ends_s = [*(time_s for time_s, _ in changes[1:]), end_s]
    short_s = fsum(end - start for (start, short), end in zip(changes, ends_s, strict=True) if short)
    return short_s / end_s


def sentences(answers: FleetAnswers) -> Iterator[str]:
    """Who pays for whom, and what one core more would bring whom."""
    fleet, rows = answers.fleet, answers.rows
    if not answers.short:
        yield f"{fleet.budget} {fleet.unit} suffice for all pipelines at all times."
        return
    yield f"{fleet.budget} {fleet.unit} do not suffice for {100 * answers.short:.3g} % of the time."
    order = sorted(rows, key=lambda row: (-row.lacking, row.name))
    payers = [row for row in order if row.lacking > 0 and row.lacking >= order[0].lacking / 2]
    spared = [row for row in order if row not in payers]
    paying = " and ".join(
        f"{row.name} (gets {row.got:.1f} of {row.wanted:.1f} {fleet.unit}; late {_late(row)})" for row in payers
    )
    spared_text = " and ".join(f"{row.name} (late {_late(row)})" for row in spared)
    verb = "pays" if len(payers) == 1 else "pay"
    yield f"{paying} {verb} for {spared_text}." if spared else f"{paying}: all pay alike."
    gains = [(row.fleet.late - row.more.late, row.more.late, row) for row in rows if row.more is not None]
    if not gains:
        return
    one_more = fleet.one_more[0].upper() + fleet.one_more[1:]
    best, late_share, row = max(gains, key=lambda gain: gain[0])
    if best > 0:
        late = f"{_per_cent(row.fleet.late)} -> {_per_cent(late_share)}"
        yield f"{one_more} would bring most to {row.name}: late {late}."
    else:
        yield f"{one_more} would make no pipeline's requests late less often."


def _late(row: MemberRow) -> str:
    late = _per_cent(row.fleet.late)
    return late if row.alone is None else f"{_per_cent(row.alone.late)} -> {late}"


def _per_cent(share: float) -> str:
    return f"{100 * share:.2f} %"
