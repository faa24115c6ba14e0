"""Comparison of policies on the same requests, over seeds, on all cores."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ipa.studies import results
from ipa.studies.displayed import Displayed
from ipa.studies.intervals import Estimate, as_columns, estimate_of
from ipa.studies.many.answers import Demand, Recommendation, demand_of, recommend_policy
from ipa.studies.many.making import latencies_of, whole_run_of
from ipa.studies.many.outcome import LATENCIES, FinishedRun, latencies_in
from ipa.studies.many.plan import Keys, PlannedRun, key_of
from ipa.studies.many.requirements import Requirement
from ipa.studies.many.runner import LOCAL, Progress, Running, begun, silent
from ipa.studies.many.store import FINISHED, Store, opened, read_file
from ipa.studies.many.systems import BASELINES, Choosing, Given, choose
from ipa.studies.runs import INFEASIBLE, Figure, RunData, figures_of, marked, prepare
from ipa.studies.scenario import Scenario, ScenarioError
from ipa.studies.series import merged_latency_quantiles_s

if TYPE_CHECKING:
    import pandas as pd

    from ipa.sim import FloatArray


TABLE = "runs.parquet"

_SAME_FOR_ALL = ("pipeline", "trace", "sla_s", "duration_s")

MERGED = ("latency_p50_s_merged", "latency_p99_s_merged")


def compare(
    scenario: Scenario,
    policies: Sequence[Given] = BASELINES,
    seeds: int = 1,
    *,
    jobs: int | None = None,
    folder: str | Path | None = None,
    on: str = LOCAL,
    progress: Progress = silent,
    **choosing: Unpack[Choosing],
) -> Comparison:
    """Run policies on the same requests: each with the seeds scenario.seed, scenario.seed + 1, ..., `seeds` of them.

    A policy is a text, such as `ipa alpha=20 label="IPA, bold"`, or a mapping with `name`, optionally `label`, and
    parameters. `choosing`: `parameters` and `log`, as in `choose`. `jobs`, `folder`, `on` and `progress`:
    as in `Running`. The runs are ordered by policy, then seed. Raises as `choose` and `conduct`.
    """
    chosen = choose(scenario, policies, **choosing)
    return conduct(chosen, seeds, Running(None if folder is None else Path(folder), jobs, on, progress))


def conduct(chosen: Sequence[Scenario], seeds: int, running: Running, *, without_tables: bool = False) -> Comparison:
    """Make the runs of each scenario with `seeds` consecutive seeds, from its own on, that the folder lacks.

    `without_tables`: without a folder, the runs have their summaries and latencies alone, in half the time.

    Finished runs survive an interrupt. Raises as `prepare`, `begun` and `RunsSession.executor`, and ScenarioError for a
    run that fails, which names its policy and seed and ends the comparison.
    """
    for scenario in chosen:
        prepare(scenario)
    keys = Keys()
    of_policies = [(scenario, keys.shared(scenario)) for scenario in chosen]
    plan = [
        (scenario.policy.title, seed, PlannedRun(key_of(shared, seed), {**scenario.as_dict(), "seed": seed}))
        for scenario, shared in of_policies
        for seed in range(scenario.seed, scenario.seed + seeds)
    ]
    manifest = {
        "schema_version": results.SCHEMA_VERSION,
        "kind": "runs",
        "scenarios": [scenario.as_dict() for scenario in chosen],
        "runs": [{"policy": policy, "seed": seed, "key": planned.key} for policy, seed, planned in plan],
        **results.versions(),
    }
    folder = running.folder
    making = latencies_of if without_tables and folder is None else whole_run_of
    with begun(running, manifest, making, chosen) as session:
        with (
            session.executor(chosen) as run,
            session.ended_by_failure((f"{name}, seed {seed}", planned) for name, seed, planned in plan),
        ):
            run((planned for _, _, planned in plan), len(plan))
        if folder is None:
            runs: list[RunData] = [_of_outcome(session.store.outcome(planned.key)) for _, _, planned in plan]
        else:
            session.store.say_left_out((planned.key for _, _, planned in plan), f"{folder / TABLE}")
            runs = _runs_in(session.store, folder, session.manifest)
            results.write_table(results.runs_table(runs), folder / TABLE)
    session.finish()
    return Comparison(tuple(runs))


@dataclass(frozen=True, repr=False)
class RunInStore(results.StoredRun):
    """A run whose files are in a store: `read` gives the content of one by its name, None if there is none."""

    read: Callable[[str], bytes | None]

    def _has(self, name: str) -> bool:
        return self.read(name) is not None

    def _table(self, path: Path) -> pd.DataFrame:
        content = self.read(path.name)
        return results.read_table(path, None if content is None else BytesIO(content))

    def _lines(self) -> list[str]:
        return results.read_lines(self.journal, self.read(self.journal.name))


@dataclass(frozen=True, repr=False)
class RunWithoutTables(RunInStore):
    """A run of which nothing but the latencies is kept besides the summary."""

    @property
    def latencies(self) -> FloatArray:
        return latencies_in(self.read(LATENCIES) or b"")


def _of_outcome(outcome: FinishedRun) -> RunInStore:
    """A run that is kept in memory."""
    manifest = {**json.loads(outcome.files[results.MANIFEST]), "inputs": {"files": {}, "loads": {}}}
    kind = RunWithoutTables if LATENCIES in outcome.files else RunInStore
    return kind(Path(), manifest, outcome.files.get)


def _runs_in(store: Store, folder: Path, manifest: Mapping[str, Any]) -> list[RunData]:
    """The runs that the manifest of a comparison lists, from its store. Raises ScenarioError if one is missing."""
    try:
        keys = {run["key"]: f"{run['policy']}, seed {run['seed']}" for run in manifest["runs"]}
    except (KeyError, TypeError):
        raise ScenarioError(f"{folder / results.MANIFEST}: the key 'runs' should list the runs") from None
    manifests = {key: store.file(key, results.MANIFEST) for key in keys}
    missing = [keys[key] for key, content in manifests.items() if content is None]
    if missing:
        raise ScenarioError(
            f"{folder}: the comparison is not finished: {len(missing)} of {len(keys)} runs are missing, {missing[0]} "
            "first; run the same command again to resume it"
        )
    return [
        RunInStore(
            folder,
            {**json.loads(content), "inputs": manifest.get("inputs")},
            partial(read_file, folder / FINISHED, key),
        )
        for key, content in manifests.items()
        if content is not None
    ]


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
        runs_by_seed: dict[str, dict[int, RunData]] = {}
        for run in self.runs:
            runs_by_seed.setdefault(str(run.summary["policy"]), {})[int(run.summary["seed"])] = run
        return runs_by_seed

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
    """The comparison in a results folder, or a single run as one.

    Raises ScenarioError if the folder holds anything else, or a comparison that is not finished.
    """
    folder = Path(folder)
    manifest = results.read_manifest(folder)
    if manifest["kind"] != "runs":
        return Comparison((results.read_run(folder),))
    if not (folder / FINISHED).is_file():
        raise ScenarioError(f"{folder / FINISHED}: no such file; the results are not complete")
    with opened(folder / FINISHED) as store:
        return Comparison(tuple(_runs_in(store, folder, manifest)))


# ---- the runs of each policy ----


@dataclass(frozen=True)
class PolicyRuns:
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
        """Stage -> variant -> accuracy."""
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
        return merged_latency_quantiles_s([run.latencies for run in self.runs], quantiles)


def merged_latencies(groups: Sequence[PolicyRuns]) -> str:
    """The p50 and p99 of all seeds' requests together, in words; empty for a single seed or without records."""
    texts = [
        f"{group.label} {latencies_s[0]:.2f} and {latencies_s[1]:.2f}"
        for group in groups
        if len(group.runs) > 1 and (latencies_s := group.merged_latency_s((0.5, 0.99))) is not None
    ]
    return f"p50 and p99 of the requests of all seeds together, in s: {', '.join(texts)}." if texts else ""


def by_policy(runs: Sequence[RunData]) -> tuple[PolicyRuns, ...]:
    """The runs grouped by policy, in order of first appearance.

    Raises ScenarioError for no runs, runs on different loads, or a policy with the same seed twice.
    """
    if not runs:
        raise ScenarioError("a report needs at least one run")
    for key in _SAME_FOR_ALL:
        values = list(dict.fromkeys(run.summary[key] for run in runs))
        if len(values) > 1:
            raise ScenarioError(f"a report compares runs on the same load; {key} is {values[0]!r} and {values[1]!r}")
    runs_by_policy: dict[str, list[RunData]] = {}
    for run in runs:
        runs_by_policy.setdefault(str(run.summary["policy"]), []).append(run)
    labels = _labels(list(runs_by_policy))
    groups = tuple(
        PolicyRuns(policy, marked(labels[policy], of_policy[0].summary), place, tuple(of_policy))
        for place, (policy, of_policy) in enumerate(runs_by_policy.items())
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


def cell(group: PolicyRuns, figure: Figure) -> str:
    """A figure of a policy over its seeds: the mean with half its 95 % interval; `-` if no run has it."""
    _, key, factor, _ = figure
    return text_of(figure, group.estimate(key, factor))


def text_of(figure: Figure, estimate: Estimate | None) -> str:
    """A figure in a table; of decisions the mean alone, as they are no draws from a load."""
    if estimate is None:
        return "-"
    return f"{estimate.mean:.0f}" if figure == INFEASIBLE else estimate.text(figure[3])
