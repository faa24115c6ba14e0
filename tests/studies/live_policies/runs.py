"""Making the runs that a folder lacks, and what came of each, beside what its simulation says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import pandas as pd

from ipa import profiles
from ipa.policies import OptimisingPolicy, create
from ipa.profiles import Pipeline
from ipa.sim import stage_models
from ipa.studies import results, simulate
from ipa.studies.validation.overheads import measure_overheads
from tests.studies.live_policies.cases import Case


class Row(NamedTuple):
    """The figures of one live run; `violations` in percent, `late` a share, `batch_s` what a batch takes beyond its
    profile in the mean. `simulated_` are those of its simulation with the run's overheads, as `ipa validate` has it."""

    case: Case
    objective: float
    pas: float
    cores: float
    violations: float
    latency_s: float
    simulated_objective: float
    simulated_violations: float
    simulated_latency_s: float
    batch_s: float
    late: float


def make(wanted: Iterable[Case], folder: Path, at_once: int, most_late: float) -> None:
    """Run those whose results the folder lacks, some side by side; and again those of which a larger share of the
    requests than `most_late` was sent more than 10 ms late, as the machine did not cope."""

    def run(case: Case) -> None:
        place = folder / case.name
        if (place / results.MANIFEST).is_file():
            if late(place) <= most_late:
                return
            shutil.rmtree(place)
        command = [sys.executable, "-m", "ipa", *case.command(place)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        said = f"{100 * late(place):.1f} % late" if ended.returncode == 0 else ended.stderr.strip()
        click.echo(f"{case.name}: {said}", err=True)

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, wanted))


def late(place: Path) -> float:
    """The share of a run's requests that were sent more than 10 ms late."""
    live = results.read_manifest(place)["live"]
    return float(live["sent_late"] / live["requests_sent"])


def rows(wanted: Iterable[Case], folder: Path) -> Iterator[Row]:
    """The rows of the runs that are there."""
    yield from (row_of(case, folder / case.name) for case in wanted if (folder / case.name).is_dir())


def row_of(case: Case, place: Path) -> Row:
    """The row of a run in its folder."""
    stored, scenario = results.read_run(place), case.scenario()
    pipeline = profiles.load(case.pipeline)
    models = stage_models(pipeline, sampled=True)
    overheads = measure_overheads(stored.tables, models, scenario.seed)
    simulated = simulate(scenario.with_values(overheads.values()))
    live, again = stored.summary, simulated.summary
    return Row(
        case,
        objective(pipeline, stored.tables, live["cost_mean_cores"]),
        live["pas_mean"],
        live["cost_mean_cores"],
        100.0 * live["sla_violation_rate"],
        live["latency_mean_s"],
        objective(pipeline, simulated.tables, again["cost_mean_cores"]),
        100.0 * again["sla_violation_rate"],
        again["latency_mean_s"],
        overheads.dispatch_overhead_s.value_s,
        late(place),
    )


def objective(pipeline: Pipeline, tables: Mapping[str, pd.DataFrame], cores: float) -> float:
    """alpha x the mean accuracy of what has served the completed requests - beta x the mean cores, by IPA's weights."""
    policy = create("ipa", pipeline)
    assert isinstance(policy, OptimisingPolicy)
    programme = policy.programme
    scales = programme.table.scales
    assert scales.multiply, "the shipped pipelines multiply accuracies"
    stages, requests, replicas = (tables[name] for name in ("stages", "requests", "replicas"))
    done = requests.loc[requests["outcome"] == "completed", "request"]
    value = pd.Series(1.0, index=done)
    denominator = scales.unit ** (1 / len(pipeline.stages))
    for position, stage in enumerate(pipeline.stages):
        variants = replicas[replicas["stage"] == stage.name].set_index("replica")["variant"]
        served_by = stages[stages["stage"] == stage.name].set_index("request")["replica"].reindex(done)
        terms = {number: scales.terms[position][name] / denominator for number, name in variants.items()}
        value *= served_by.map(terms)
    return float(programme.alpha * value.mean() - programme.beta * cores)
