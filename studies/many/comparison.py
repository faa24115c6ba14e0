"""Comparison of policies on the same requests, over seeds, on all cores."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ipa.errors import Error
from ipa.studies import results
from ipa.studies.displayed import Displayed
from ipa.studies.intervals import Estimate, as_columns, estimate_of
from ipa.studies.many import workers
from ipa.studies.many.answers import Demand, Recommendation, demand_of, recommend_policy
from ipa.studies.many.executor import gathered
from ipa.studies.many.requirements import Requirement
from ipa.studies.many.systems import BASELINES, Choosing, Given, choose
from ipa.studies.runs import INFEASIBLE, Figure, RunData, figures_of, marked, prepare, simulate
from ipa.studies.scenario import Scenario, ScenarioError
from ipa.studies.series import merged_latency_quantiles_s

if TYPE_CHECKING:
    import pandas as pd

    from ipa.sim import FloatArray


_SAME_FOR_ALL = ("pipeline", "trace", "sla_s", "duration_s")

MERGED = ("latency_p50_s_merged", "latency_p99_s_merged")


def compare(
    scenario: Scenario,
    policies: Sequence[Given] = BASELINES,
    seeds: int = 1,
    *,
    jobs: int | None = None,
    folder: str | Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
    **choosing: Unpack[Choosing],
) -> Comparison:
    """Run policies on the same requests: each with the seeds scenario.seed, scenario.seed + 1, ..., `seeds` of them.

    A policy is a text, such as `ipa alpha=20 label="IPA, bold"`, or a mapping with `name`, optionally `label`, and
    parameters. `choosing`: `predictors`, `parameters` and `log`, as in `choose`. `jobs` runs at a time, default: one
    per core. With a folder, each run is kept there when it finishes, and an interrupted comparison is resumed.
    `on_finished` is called after each run. The runs are ordered by policy, then seed. An error in a run names its
    policy and seed. Raises as `choose`, `prepare` and `run_all`, and ScenarioError if the folder cannot be used or
    another command makes runs for it.
    """
    folder = None if folder is None else Path(folder)
    chosen = choose(scenario, policies, **choosing)
    for one in chosen:
        prepare(one)
    every = with_seeds(chosen, seeds)
    with ExitStack() as alone:
        if folder is not None:
            is_new = not (folder / results.MANIFEST).is_file()
            if not is_new:  # lock first: the manifest of another running command must not change
                results.claim(folder, resumable=True)
                alone.enter_context(results.alone(folder))
            results.open_comparison(every, folder)
            if is_new:
                alone.enter_context(results.alone(folder))
        runs = run_all(every, jobs=jobs or workers.cores(), folder=folder, on_finished=on_finished)
        if folder is not None:
            results.close_comparison(runs, folder)
    return Comparison(tuple(runs))


def with_seeds(chosen: Sequence[Scenario], seeds: int) -> list[Scenario]:
    """Each scenario with `seeds` consecutive seeds, from its own on."""
    return [one.with_values({"seed": one.seed + offset}) for one in chosen for offset in range(seeds)]


def run_all(
    chosen: Sequence[Scenario],
    *,
    jobs: int,
    folder: Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
) -> list[RunData]:
    """Run all scenarios, `jobs` at a time; results are in the order of the scenarios.

    With a folder, each run is written to it when it finishes, and a scenario whose run is there already is not run
    again. Raises as `workers.run_all`.
    """
    found: dict[int, RunData] = {}
    missing: dict[int, Scenario] = {}
    for position, scenario in enumerate(chosen):
        stored = results.find_finished(scenario, folder) if folder else None
        if stored is None:
            missing[position] = scenario
        else:
            found[position] = stored
            on_finished()
    found |= gathered(partial(_run_one, folder), missing, jobs, lambda _, __: on_finished())
    return [found[position] for position in range(len(chosen))]


def _run_one(folder: Path | None, scenario: Scenario) -> RunData:
    try:
        run = simulate(scenario)
    except Error as error:
        raise type(error)(f"{scenario.policy.title}, seed {scenario.seed}: {error}") from error
    if folder is None:
        return run
    inner = folder / results.run_name(scenario)
    results.write_run(run, inner, folder / results.INPUTS)
    return results.finished(inner, scenario)  # small: it reads its tables only at first use


@dataclass(frozen=True, repr=False)
class Comparison(Displayed):
    """Finished runs on the same load, ordered by policy, then seed.

    What is asked of a recommended policy is the goal and the limit of cores of their scenarios, `late_at_most` (the
    share of the requests of any hour that may be late or lost; None: the goal's, or 0.01) and what is `required`.
    """

    PAGE = "comparison"

    runs: tuple[RunData, ...]
    late_at_most: float | None = None
    required: tuple[Requirement, ...] = ()

    @property
    def demand(self) -> Demand:
        """What is asked of a recommended policy."""
        return demand_of((run.scenario for run in self.runs), self.late_at_most, self.required)

    def recommend(self, late_at_most: float | None = None) -> Recommendation:
        """Which policy to take, with another limit on late requests if one is given."""
        groups = by_policy(self.runs)
        names = _labels([group.policy for group in groups])
        summaries = {names[group.policy]: group.summaries for group in groups}
        return recommend_policy(summaries, self.demand.with_late(late_at_most))

    @property
    def columns(self) -> tuple[Figure, ...]:
        """The figures that a table of these runs shows."""
        return figures_of([run.summary for run in self.runs])

    @property
    def policies(self) -> list[str]:
        """The policies, in order."""
        return list(self.by_policy)

    @property
    def by_policy(self) -> Mapping[str, dict[int, RunData]]:
        """Policy -> seed -> run."""
        found: dict[str, dict[int, RunData]] = {}
        for run in self.runs:
            found.setdefault(str(run.summary["policy"]), {})[int(run.summary["seed"])] = run
        return found

    @property
    def table(self) -> pd.DataFrame:
        """One row per run: its summary without the wall time, as in the file `runs.parquet`."""
        return results.runs_table(self.runs)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per policy: the means over its seeds of PAS, cost, violations, latency, drops and changes; of the
        worst hour's violations in longer runs, and of infeasible decisions if there are any.

        `KEY_low` and `KEY_high` are the ends of the 95 % interval of KEY, NaN for a single seed. `MERGED` are quantiles
        of the requests of all seeds together.
        """
        import pandas as pd

        rows = []
        for group in by_policy(self.runs):
            row: dict[str, float] = {}
            for _, key, *_ in self.columns:
                row |= as_columns(key, group.estimate(key))
            merged = group.merged_latency_s((0.5, 0.99))
            row |= dict(zip(MERGED, (nan, nan) if merged is None else merged.tolist(), strict=True))
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index(self.policies, name="policy"))

    @property
    def title(self) -> str:
        """The question in one line: the pipeline, the load, and what is compared: one or two policies, or how many."""
        first = self.runs[0].summary
        names = self.policies
        varied = f"{' and '.join(names) if len(names) == 2 else f'{len(names)} policies'} compared"
        return f"{first['pipeline']} on {first['trace']}: {f'policy {names[0]}' if len(names) == 1 else varied}"

    def __repr__(self) -> str:
        groups = by_policy(self.runs)
        names = ["", *(group.title for group in groups)]
        lines = [name.ljust(max(map(len, names))) for name in names]
        for figure in self.columns:
            texts = [figure[0], *(cell(group, figure) for group in groups)]
            lines = [f"{line}  {text:>{max(map(len, texts))}}" for line, text in zip(lines, texts, strict=True)]
        return "\n  ".join([f"Comparison of {len(self.runs)} runs: {self.title}", *lines])


def read_comparison(folder: str | Path) -> Comparison:
    """The comparison in a results folder, or a single run as one. Raises ScenarioError as `read_runs`."""
    return Comparison(tuple(results.read_runs(folder)))


# ---- the runs of each policy ----


@dataclass(frozen=True)
class Group:
    """The runs of one policy, one per seed; `label` is its short name for people. One that knows the load to come is
    marked as a bound in it, and in `title`."""

    policy: str
    label: str
    place: int
    runs: tuple[RunData, ...]

    @property
    def title(self) -> str:
        """The policy's whole name for people."""
        return marked(self.policy, self.runs[0].summary)

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
    def duration_s(self) -> float:
        """How long each run is."""
        return float(self.runs[0].summary["duration_s"])

    @property
    def sla_s(self) -> float:
        """The SLA, end to end."""
        return float(self.runs[0].summary["sla_s"])

    @property
    def summaries(self) -> Mapping[int, Mapping[str, Any]]:
        """The runs' summaries by seed."""
        return {int(run.summary["seed"]): run.summary for run in self.runs}

    def values(self, key: str) -> dict[int, float | None]:
        """A figure of the summary by seed."""
        return {seed: summary[key] for seed, summary in self.summaries.items()}

    def estimate(self, key: str, factor: float = 1.0) -> Estimate | None:
        """A figure's mean over the seeds with its interval, times a factor; None if no run has it."""
        return estimate_of(key, self.summaries.values(), factor)

    def merged_latency_s(self, quantiles: Sequence[float]) -> FloatArray | None:
        """Latency quantiles of the requests of all seeds together, unlike the means of the seeds' quantiles."""
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
        Group(policy, marked(labels[policy], of_policy[0].summary), place, tuple(of_policy))
        for place, (policy, of_policy) in enumerate(found.items())
    )
    for group in groups:
        if len(set(group.seeds)) < len(group.seeds):
            raise ScenarioError(f"policy {group.policy!r} appears twice with the same seed")
    return groups


def _labels(policies: Sequence[str]) -> dict[str, str]:
    """Names without the folders of policy files, unless two would be equal."""
    short = [re.sub(r"^\S*/(?=[^/\s]*\.py:)", "", policy) for policy in policies]
    names = short if len(set(short)) == len(short) else policies
    return dict(zip(policies, names, strict=True))


def cell(group: Group, figure: Figure) -> str:
    """A figure of a policy over its seeds: the mean with half its 95 % interval; `-` if no run has it."""
    _, key, factor, _ = figure
    return text_of(figure, group.estimate(key, factor))


def text_of(figure: Figure, estimate: Estimate | None) -> str:
    """A figure in a table; of decisions the mean alone, as they are no draws from a load."""
    if estimate is None:
        return "-"
    return f"{estimate.mean:.0f}" if figure == INFEASIBLE else estimate.text(figure[3])
