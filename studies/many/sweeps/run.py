"""A sweep: every point is run with the same seeds, so that points share random draws, and all runs make one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from ipa.studies import results
from ipa.studies.many import (
    FINISHED,
    LOCAL,
    Keys,
    PlannedRun,
    Progress,
    Ran,
    Running,
    begun,
    key_of,
    make,
    opened,
    silent,
    summary_of,
)
from ipa.studies.many.answers import Demand, Recommendation, answer, demand_of_points
from ipa.studies.many.sweeps import conditions, table
from ipa.studies.many.sweeps.options import SweepOptions, Texts, Vary
from ipa.studies.many.sweeps.sample import SHAPE, Axis, Space, Values, axis_of, parse_axis, parse_draw
from ipa.studies.runs import prepare as prepare_run
from ipa.studies.scenario import LARGEST_SEED, Scenario, ScenarioError

if TYPE_CHECKING:
    import pandas as pd

    from ipa.studies.many import Requirement

TABLE = "runs.parquet"

ERRORS_TOLD = 20
"""The most different errors that are reported; the table has all."""

MOST_CHECKED = 50
"""The most varied values whose scenarios are prepared before anything runs; of others, only keys and values are
checked."""

TRIED = 3
"""The runs of a trial: of the first, middle and last point, after a warm-up."""


class SweepPoint(NamedTuple):
    """A point: the values of its varied keys, and the scenario with its first seed."""

    values: Values
    scenario: Scenario


@dataclass(frozen=True)
class SweepPlan:
    """A scenario, what is varied, and the seeds `base.seed`, `base.seed` + 1, ...: `seeds` of them. `size`: the number
    of points, set by the check."""

    base: Scenario
    space: Space
    seeds: int
    size: int = 0

    def points(self) -> Iterator[SweepPoint]:
        """All points in order, generated lazily. Raises ScenarioError for invalid values."""
        for values in self.space.values(self.base.as_dict()):
            yield SweepPoint(values, self.base.with_values(values))

    def rows(self, keys: Keys, seeds: range) -> Iterator[table.Row]:
        """The runs with the seeds at these places (0: the first): values, seed, and the planned run."""
        for point in self.points():
            yield from rows_of(point, keys, seeds)


def rows_of(point: SweepPoint, keys: Keys, seeds: range) -> Iterator[table.Row]:
    """The runs of a point; see `SweepPlan.rows`."""
    shared, data = keys.shared(point.scenario), point.scenario.as_dict()
    for place in seeds:
        seed = point.scenario.seed + place
        yield point.values, seed, PlannedRun(key_of(shared, seed), {**data, "seed": seed})


@dataclass(frozen=True)
class Swept:
    """A finished sweep: its folder, points, seeds and runs; how many failed, in all and by error."""

    folder: Path
    points: int
    seeds: int
    ran: Ran
    failed: int
    errors: Mapping[str, int]

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
        }

    @property
    def table(self) -> pd.DataFrame:
        """The table of runs."""
        import pandas as pd

        return pd.read_parquet(self.folder / TABLE)

    def by_point(self, keys: Sequence[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Each point with finished runs, in words, and the rows of these runs in the table."""
        table = self.table
        ended = table[table["error"].isna()]
        for values, runs in ended.groupby(list(keys), dropna=False, sort=False):
            named = in_words({key: value for key, value in zip(keys, values, strict=True) if value == value})
            yield (
                named,
                [
                    {str(name): None if value != value else value for name, value in row.items()}
                    for row in runs.to_dict("records")
                ],
            )

    def recommend(self, keys: Sequence[str], demand: Demand) -> Recommendation | None:
        """Which of the points distinguished by `keys` to take; None if there is nothing to choose."""
        chosen = [key for key in keys if key != "seed"]
        try:
            return answer(self.table, chosen, demand=demand).recommend()
        except ScenarioError:  # no key, no finished run, or a point that occurs twice
            return None


def sweep(
    scenario: str | Path | Scenario,
    vary: Vary,
    *,
    folder: str | Path | None = None,
    jobs: int | None = None,
    on: str = LOCAL,
    progress: Progress = silent,
    log: Callable[[str], object] = lambda _: None,
    **options: Any,
) -> pd.DataFrame:
    """Run a scenario with other values of its keys, over seeds; a row for each run, as in `runs.parquet`.

    `scenario` is one, or names a pipeline or a scenario file; `vary` and the other `options`: see `SweepOptions`.
    With a folder, runs that it holds already are not repeated. `jobs` runs at a time (default: one per core), or on the
    cluster `on`. A failed run has its error in the column `error`.

    Raises as `prepare` and `conduct`.
    """
    plan = prepare(scenario, SweepOptions(vary=vary, **options))
    with TemporaryDirectory() if folder is None else nullcontext(str(folder)) as place:
        return conduct(plan, Running(Path(place), jobs, on, progress, log)).table


def prepare(scenario: str | Path | Scenario, options: SweepOptions) -> SweepPlan:
    """The plan of a sweep, checked.

    Raises ScenarioError, PolicyError, ProfileError or TraceError for input that cannot be run, before anything runs.
    """
    own = {"records": "none", **(options.values or {})}
    base = scenario.with_values(own) if isinstance(scenario, Scenario) else results.find(str(scenario), own)
    space = space_of(options)
    plan = SweepPlan(base, space, options.seeds or 1)
    return replace(plan, size=_checked(plan))


def space_of(options: SweepOptions) -> Space:
    """What is varied. Raises ScenarioError if nothing is, or for what cannot be read."""
    vary = options.vary
    axes = (
        (axis_of(*key_and_values) for key_and_values in vary.items())
        if isinstance(vary, Mapping)
        else map(parse_axis, vary)
    )
    if not vary:
        raise ScenarioError(f"nothing is varied: {SHAPE}")
    draw = None if options.points is None else parse_draw(options.points)
    return Space(tuple(axes), tuple(map(conditions.parse, _several(options.where))), draw)


def _several(texts: Texts) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts


def _checked(plan: SweepPlan) -> int:
    """The number of points. Raises ScenarioError for none, and for a point that cannot be run, naming its values.

    The keys and values of every point are checked. In addition, a scenario with each value of a key is prepared (its
    policy, pipeline and load are made), up to `MOST_CHECKED`.
    """
    if "seed" in plan.space.keys and plan.seeds > 1:
        raise ScenarioError("seed: is varied itself; leave out --seeds")
    if plan.base.seed + plan.seeds - 1 > LARGEST_SEED:
        raise ScenarioError(f"seed: the last seed would be above {LARGEST_SEED}")
    checked: set[str] = set()
    count = 0
    for values, scenario in plan.points():
        count += 1
        new = {f"{key}={value!r}" for key, value in values.items() if key != "seed"} - checked
        if count == 1 or (new and len(checked) < MOST_CHECKED):
            checked |= new
            if error := _refusal(scenario):
                is_of_base = str(_refusal(plan.base)) == str(error)
                raise error if is_of_base else ScenarioError(f"{in_words(values)}: {error}") from None
    if count == 0:
        raise ScenarioError("--where: leaves no point")
    return count


def _refusal(scenario: Scenario) -> ValueError | None:
    """The error if the scenario cannot be run, else None."""
    try:
        prepare_run(scenario)
    except ValueError as error:
        return error
    return None


def in_words(values: Values) -> str:
    """The values of a point: `policy.alpha=1, hop_s=0.1`."""
    return ", ".join(f"{key}={value}" for key, value in values.items())


def conduct(plan: SweepPlan, running: Running) -> Swept:
    """Make the runs of a plan that the folder lacks, then write the table.

    Finished runs survive an interrupt. Raises ScenarioError if the folder holds anything but a sweep or cannot be
    written, and as `begun` and `RunsSession.executor`.
    """
    assert running.folder is not None, "a sweep has a folder"
    keys = Keys()
    path = running.folder / TABLE

    def rows() -> Iterator[table.Row]:
        return plan.rows(keys, range(plan.seeds))

    scenarios = (point.scenario for point in plan.points())
    with begun(running, _manifest(plan), summary_of, scenarios) as session:
        with session.executor(point.scenario for point in plan.points()) as run:
            run((planned for _, _, planned in rows()), plan.size * plan.seeds)

        values_by_key = {axis.key: list(axis.values or axis.ends or ()) for axis in plan.space.axes}
        session.store.say_left_out((planned.key for _, _, planned in rows()), f"{path}")
        summary = table.first_summary(rows(), session.store)
        errors = table.write(rows(), session.store, values_by_key, summary, path)
    errors_by_text = dict(errors.most_common(ERRORS_TOLD))
    swept = Swept(running.folder, plan.size, plan.seeds, session.ran, errors.total(), errors_by_text)
    session.finish(
        seeds=list(range(plan.base.seed, plan.base.seed + plan.seeds)),
        runs=swept.runs,
        failed=swept.failed,
    )
    return swept


def _manifest(plan: SweepPlan) -> dict[str, Any]:
    space = plan.space
    return {
        "schema_version": results.SCHEMA_VERSION,
        "kind": "sweep",
        "scenario": plan.base.as_dict(),
        "vary": [_described(axis) for axis in space.axes],
        "where": [condition.text for condition in space.where],
        "drawn": None if space.draw is None else str(space.draw),
        "points": plan.size,
        "cores": os.cpu_count(),
        **results.versions(),
    }


def _described(axis: Axis) -> dict[str, Any]:
    if axis.ends is None:
        return {"key": axis.key, "values": list(axis.values)}
    return {"key": axis.key, "from": axis.ends[0], "to": axis.ends[1], "scale": "log" if axis.is_log else "linear"}


def demand_of_folder(folder: str | Path, required: Sequence[Requirement] = ()) -> Demand:
    """What is asked of the points of a sweep's folder. Raises ScenarioError as `read_manifest`, and if it lacks what
    was varied."""
    manifest = results.read_manifest(Path(folder))
    try:
        axes = {axis["key"]: list(axis.get("values", ())) for axis in manifest["vary"]}
        base = Scenario.model_validate(manifest["scenario"])
    except (KeyError, TypeError, ValueError):
        raise ScenarioError(f"{Path(folder) / results.MANIFEST}: does not say what was varied of what") from None
    return demand_of_points(base, axes, required=required)


def read_sweep(folder: str | Path) -> list[tuple[Values, Scenario, Mapping[str, Any]]]:
    """The runs of a sweep's folder that have not failed: the values of the point, the scenario, the run's row.

    Raises ScenarioError if the folder holds no sweep, or one that is not finished.
    """
    folder = Path(folder)
    manifest = results.read_manifest(folder)
    if manifest["kind"] != "sweep":
        raise ScenarioError(f"{folder}: holds no sweep")
    if not manifest.get("finished"):
        raise ScenarioError(f"{folder}: the sweep is not finished; run the same command again to resume it")
    base, inputs = Scenario.model_validate(manifest["scenario"]), results.KeptInputs.of(manifest, folder)
    listed = {axis["key"]: list(axis.get("values", ())) for axis in manifest["vary"]}
    return [
        (values, inputs.scenario(base.with_values({**values, "seed": seed})), row)
        for values, seed, row in table.read(folder / TABLE, listed)
    ]


@dataclass(frozen=True)
class SweepTrial:
    """The size of a sweep. `run_s`: the mean time of a run on one core of this machine; `missing`: the runs that the
    folder lacks."""

    points: int
    seeds: int
    missing: int
    run_s: float
    tried: int
    jobs: int
    example: str

    @property
    def runs(self) -> int:
        """The number of all runs."""
        return self.points * self.seeds

    @property
    def estimated_s(self) -> float:
        """The estimated time [s] of the missing runs on this machine."""
        return self.missing * self.run_s / min(self.jobs, max(1, self.missing))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "runs": self.runs, "estimated_s": self.estimated_s}


def trial(plan: SweepPlan, jobs: int, folder: Path | None) -> SweepTrial:
    """Try a few runs of a sweep: its size, and how long it would take in `jobs` processes."""
    places = {0, plan.size // 2, plan.size - 1}
    chosen = [point for place, point in enumerate(plan.points()) if place in places]
    keys = Keys()
    planned = [run for point in chosen for _, _, run in rows_of(point, keys, range(1))]
    mark = uuid4().hex
    make(summary_of, mark, planned[:1])
    took_s = make(summary_of, mark, planned).took_s
    finished = 0
    if folder is not None and (folder / FINISHED).is_file():
        with opened(folder / FINISHED) as store:
            finished = store.count(run.key for _, _, run in plan.rows(keys, range(plan.seeds)))
    return SweepTrial(
        points=plan.size,
        seeds=plan.seeds,
        missing=plan.size * plan.seeds - finished,
        run_s=took_s / len(planned),
        tried=len(planned),
        jobs=jobs,
        example=_example(*chosen[0]),
    )


def _example(values: Values, scenario: Scenario) -> str:
    """A point's scenario as a file for `ipa simulate`: the keys that are not defaults, and all values of the point."""
    import yaml

    data = scenario.model_dump(mode="json", exclude_defaults=True)
    data |= {key: getattr(scenario, key) for key in values if "." not in key and key not in data and key != "policy"}
    head = {"schema_version": scenario.schema_version, "kind": scenario.kind}
    text: str = yaml.safe_dump({**head, **data}, sort_keys=False, allow_unicode=True)
    return text
