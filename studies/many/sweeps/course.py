"""A sweep from its options to its folder: run what is missing, then write the table and the manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ipa.studies import results
from ipa.studies.many import FINISHED, Keys, Luggage, Place, Ran, Store, opened, places, run_missing, workers
from ipa.studies.many.sweeps import axes, conditions, stopping, table
from ipa.studies.many.sweeps.plan import Plan, check
from ipa.studies.many.sweeps.sample import Branch, Space, Values
from ipa.studies.many.sweeps.stopping import Look
from ipa.studies.scenario import Scenario, ScenarioError, choices, find

if TYPE_CHECKING:
    import pandas as pd

TABLE = "runs.parquet"

Vary = Mapping[str, str | Sequence[Any]] | Sequence[str]
"""Keys with their values, each as a text of the command line or as a sequence; or texts `KEY=VALUES`."""

Texts = str | Sequence[str]

Progress = Callable[[int], AbstractContextManager[Callable[[bool], object]]]
"""Given the number of runs; what the context manager yields is called after each of them, with whether it failed."""

ERRORS_TOLD = 20
"""Different errors that are told; the table has all."""


@dataclass(frozen=True)
class Swept:
    """A sweep that has ended: its folder, points, seeds and runs; how many failed, of these and by error; the looks."""

    folder: Path
    points: int
    seeds: int
    ran: Ran
    failed: int
    errors: Mapping[str, int]
    looks: tuple[Look, ...]

    @property
    def runs(self) -> int:
        """All runs of the table."""
        return self.points * self.seeds

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without the table."""
        return {
            "folder": str(self.folder),
            "table": str(self.folder / TABLE),
            "points": self.points,
            "seeds": self.seeds,
            "runs": self.runs,
            "fresh_runs": self.ran.fresh,
            "failed": self.failed,
            "errors": dict(self.errors),
            "looks": [look.as_dict() for look in self.looks],
        }

    @property
    def table(self) -> pd.DataFrame:
        """The table of runs."""
        import pandas as pd

        return pd.read_parquet(self.folder / TABLE)


def sweep(
    what: str | Path | Scenario,
    vary: Vary,
    *,
    when: Texts = (),
    where: Texts = (),
    sample: choices.Sample = "grid",
    points: int | None = None,
    sample_seed: int = 1,
    seeds: int | None = None,
    until: Texts = (),
    values: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    jobs: int | None = None,
    on: str = places.LOCAL,
    progress: Progress | None = None,
    log: Callable[[str], object] = lambda _: None,
) -> pd.DataFrame:
    """Run a scenario with other values of its keys, over seeds; a row for each run, as in `runs.parquet`.

    `what` is a scenario, or names a pipeline or a scenario file; `values` of its keys, by dotted key, are for all runs.
    `vary`, `when`, `where`, `sample`, `points`, `sample_seed`, `seeds` and `until` as in `prepare`. With a folder,
    runs that it holds already are not run again. `jobs` runs at a time (default: one per core), or on the cluster that
    `on` names. A run that fails has its error in the column `error`.

    Raises as `prepare` and `conduct`.
    """
    plan, count = prepare(
        what,
        vary,
        when=when,
        where=where,
        sample=sample,
        points=points,
        sample_seed=sample_seed,
        seeds=seeds,
        until=until,
        values=values,
    )
    with TemporaryDirectory() if folder is None else nullcontext(str(folder)) as place:
        return conduct(plan, count, Path(place), jobs or workers.cores(), on, progress or _silent, log).table


def prepare(
    what: str | Path | Scenario,
    vary: Vary,
    *,
    when: Texts = (),
    where: Texts = (),
    sample: choices.Sample = "grid",
    points: int | None = None,
    sample_seed: int = 1,
    seeds: int | None = None,
    until: Texts = (),
    values: Mapping[str, Any] | None = None,
) -> tuple[Plan, int]:
    """The plan of a sweep, checked, and how many points it has.

    `vary`: keys with their values; see `axes`. `when`: `CONDITION: KEY=VALUES`, a key that is varied only where the
    condition holds; `where`: conditions that every point has to meet; see `conditions`. `sample`: how points are
    chosen, `points` of them where they are drawn from `sample_seed`; see `sample`. `seeds`: with each point, from the
    scenario's on (default: 1); with `until`, which names aims (see `stopping`), at most that many (default: 100).
    Records of requests are kept only if `values` say so: latency quantiles then have a relative error of up to 0.1 %.

    Raises ScenarioError, PolicyError, ProfileError or TraceError for what cannot be run, before anything runs.
    """
    own = {"records": "none", **(values or {})}
    base = what.with_values(own) if isinstance(what, Scenario) else find(str(what), own)
    given = (axes.axis(*each) for each in vary.items()) if isinstance(vary, Mapping) else map(axes.parse, vary)
    branches = [*map(Branch, given), *(_branch(text) for text in _several(when))]
    if not branches:
        raise ScenarioError(f"nothing is varied: {axes.SHAPE}")
    space = Space(tuple(branches), tuple(map(conditions.parse, _several(where))), sample, points, sample_seed)
    aims = tuple(map(stopping.parse, _several(until)))
    plan = Plan(base, space, seeds or (stopping.MOST if aims else 1), aims)
    return plan, check(plan)


def _branch(text: str) -> Branch:
    condition, colon, axis = text.partition(": ")
    if not colon:
        raise ScenarioError(f"--when {text}: should be CONDITION: KEY=VALUES, such as policy==ipa: policy.alpha=1,2")
    return Branch(axes.parse(axis, f"--when {condition}:"), conditions.parse(condition, "--when"))


def _several(texts: Texts) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts


@contextmanager
def _silent(_: int) -> Iterator[Callable[[bool], object]]:
    yield lambda _: None


def conduct(
    plan: Plan,
    points: int,
    folder: Path,
    jobs: int,
    on: str = places.LOCAL,
    progress: Progress = _silent,
    log: Callable[[str], object] = lambda _: None,
) -> Swept:
    """Run what the folder does not hold yet of a plan with so many points, then write the table.

    `progress` and `log` as in `study.conduct`. An interrupt keeps what has finished. Raises ScenarioError for a folder
    that holds anything but a sweep or cannot be written, and as `places.opened` and `run_missing`.
    """
    started_s = perf_counter()
    places.check(on)
    results.claim(folder, resumable=True, kind="sweep")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _manifest(plan, points)
    keys = Keys()
    packed = partial(Luggage.of, (point.scenario for point in plan.points()))
    with opened(folder / FINISHED, log, alone=True) as store:
        results.write_json({**manifest, "finished": False}, folder / results.MANIFEST)
        with places.opened(on, jobs, packed, log) as place:
            where = place.where
            ran, seeds, looks = _run(plan, points, keys, store, place, progress)
        ran_s = perf_counter() - started_s
        log(f"{ran.fresh} {'run' if ran.fresh == 1 else 'runs'} in {ran_s:.1f} s{ran.others}")
        summary = table.first_summary(plan.asked(keys, range(seeds)), store)
        store.say_left_out((asked.key for _, _, asked in plan.asked(keys, range(seeds))), f"{folder / TABLE}")
        errors = table.write(plan.asked(keys, range(seeds)), store, _axes(plan), summary, folder / TABLE)
    swept = Swept(folder, points, seeds, ran, errors.total(), dict(errors.most_common(ERRORS_TOLD)), tuple(looks))
    ended = {
        "seeds": list(range(plan.base.seed, plan.base.seed + seeds)),
        "runs": swept.runs,
        "failed": swept.failed,
        "looks": [look.as_dict() for look in looks],
        "ran_on": where,
        "runs_s": ran_s,
        "whole_s": perf_counter() - started_s,
        "fresh_runs": ran.fresh,
        "finished": True,
    }
    results.write_json({**manifest, **ended}, folder / results.MANIFEST)
    return swept


def _run(
    plan: Plan, points: int, keys: Keys, store: Store, place: Place, progress: Progress
) -> tuple[Ran, int, list[Look]]:
    """Run what is missing: with all seeds, or look by look until the aims are reached. What ran, and the seeds."""

    def run(seeds: range) -> Ran:
        with progress(points * len(seeds)) as advance:
            asked = (each for _, _, each in plan.asked(keys, seeds))
            return run_missing(asked, store, place, "summary", advance)

    if not plan.aims:
        return run(range(plan.seeds)), plan.seeds, []
    ran = _first_run(plan, keys, store, place)
    done, looks = 0, []
    for seeds, error in stopping.looks(plan.seeds):
        ran += run(range(done, seeds))
        done = seeds
        looks.append(_look(plan, keys, store, seeds, error))
        if looks[-1].missed == 0:
            break
    return ran, done, looks


def _first_run(plan: Plan, keys: Keys, store: Store, place: Place) -> Ran:
    """The first run alone, which shows whether what is aimed at is an outcome."""
    rows = list(islice(plan.asked(keys, range(1)), 1))
    ran = run_missing([asked for _, _, asked in rows], store, place, "summary", lambda _: None)
    if summary := table.first_summary(rows, store):
        stopping.check_outcomes(plan.aims, summary)
    made = ran.fresh - ran.failed
    return Ran(fresh=made, found=-made)  # at the first look it is there, and is tried again if it has failed


def _look(plan: Plan, keys: Keys, store: Store, seeds: int, error: float) -> Look:
    """How wide the intervals are after so many seeds; a point none of whose runs has finished is left out."""
    missed, widest = 0, 0.0
    rows = plan.asked(keys, range(seeds))
    while some := list(islice(rows, seeds)):
        found = store.summaries([asked.key for _, _, asked in some])
        summaries = [each for _, _, asked in some if isinstance(each := found.get(asked.key), dict)]
        if not summaries:
            continue
        excess = max(aim.excess(summaries, error) for aim in plan.aims)
        missed += excess > 1.0
        widest = max(widest, excess)
    return Look(seeds, error, missed, widest)


def _axes(plan: Plan) -> dict[str, list[Any]]:
    """Values of each varied key that show its type."""
    found: dict[str, list[Any]] = {key: [] for key in plan.space.keys}
    for branch in plan.space.branches:
        found[branch.axis.key] += branch.axis.values or branch.axis.ends or ()
    return found


def _manifest(plan: Plan, points: int) -> dict[str, Any]:
    space = plan.space
    return {
        "schema_version": results.SCHEMA_VERSION,
        "kind": "sweep",
        "scenario": plan.base.as_dict(),
        "files": results.files_of(plan.base),
        "vary": [_described(branch) for branch in space.branches],
        "where": [condition.text for condition in space.where],
        "sample": space.method,
        "sample_seed": space.sample_seed if space.points else None,
        "points": points,
        "until": [aim.text for aim in plan.aims],
        "cores": os.cpu_count(),
        **results.versions(),
    }


def _described(branch: Branch) -> dict[str, Any]:
    axis = branch.axis
    values: dict[str, Any] = {"values": list(axis.values)}
    if axis.ends is not None:
        values = {"from": axis.ends[0], "to": axis.ends[1], "scale": "log" if axis.is_log else "linear"}
    return {"key": axis.key, **values, **({"when": branch.when.text} if branch.when else {})}


def read_sweep(folder: str | Path) -> list[tuple[Values, Scenario, Mapping[str, Any]]]:
    """The runs of a sweep's folder that have not failed: the values of the point, the scenario, the run's row.

    Raises ScenarioError where the folder holds no sweep, or one that is not finished.
    """
    folder = Path(folder)
    manifest = results.read_manifest(folder)
    if manifest["kind"] != "sweep":
        raise ScenarioError(f"{folder}: holds no sweep")
    if not manifest.get("finished"):
        raise ScenarioError(f"{folder}: the sweep is not finished; run the same command again to resume it")
    base = Scenario.model_validate(manifest["scenario"])
    listed: dict[str, list[Any]] = {}
    for each in manifest["vary"]:
        listed.setdefault(each["key"], []).extend(each.get("values", ()))
    return [
        (values, base.with_values({**values, "seed": seed}), row)
        for values, seed, row in table.read(folder / TABLE, listed)
    ]


def example(values: Values, scenario: Scenario) -> str:
    """A point's scenario as a file that `ipa simulate` runs: what is not a default, and all values of the point."""
    import yaml

    data = scenario.model_dump(mode="json", exclude_defaults=True)
    data |= {key: getattr(scenario, key) for key in values if "." not in key and key not in data and key != "policy"}
    head = {"schema_version": scenario.schema_version, "kind": scenario.kind}
    text: str = yaml.safe_dump({**head, **data}, sort_keys=False, allow_unicode=True)
    return text
