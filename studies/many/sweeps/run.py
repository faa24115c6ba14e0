"""A sweep: every point with the same seeds, so that points are compared on the same random draws, into one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
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
    Session,
    begun,
    key_of,
    make,
    opened,
    silent,
)
from ipa.studies.many.answers import LATE_AT_MOST, Recommendation, answer
from ipa.studies.many.sweeps import conditions, stopping, table
from ipa.studies.many.sweeps.options import Options, Texts, Vary
from ipa.studies.many.sweeps.sample import SHAPE, Branch, Space, Values, axis_of, parse_axis
from ipa.studies.many.sweeps.stopping import Aim, Look
from ipa.studies.runs import prepare as prepare_run
from ipa.studies.scenario import LARGEST_SEED, Scenario, ScenarioError

if TYPE_CHECKING:
    import pandas as pd

TABLE = "runs.parquet"

ERRORS_TOLD = 20
"""Different errors that are told; the table has all."""

MOST_CHECKED = 50
"""Scenarios that are prepared before anything runs; the others are checked for their keys and values alone."""

TRIED = 3
"""Runs of a trial: of the first, the middle and the last point, after one that warms up."""


class Point(NamedTuple):
    """A point: the values of the keys that are varied there, and the scenario with its first seed."""

    values: Values
    scenario: Scenario


@dataclass(frozen=True)
class Plan:
    """A scenario, what is varied, and the seeds `base.seed`, `base.seed` + 1, ...: `seeds` of them, or with aims as
    many as these need but at most that. `size`: how many points it has, once it is checked."""

    base: Scenario
    space: Space
    seeds: int
    aims: tuple[Aim, ...] = ()
    size: int = 0

    def points(self) -> Iterator[Point]:
        """All points in order, made as they are asked for. Raises ScenarioError for values that cannot be."""
        for values in self.space.values(self.base.as_dict()):
            yield Point(values, self.base.with_values(values))

    def rows(self, keys: Keys, seeds: range) -> Iterator[table.Row]:
        """The runs with the seeds of these places (0: the first): values, seed, and the run as it is made."""
        for point in self.points():
            yield from rows_of(point, keys, seeds)


def rows_of(point: Point, keys: Keys, seeds: range) -> Iterator[table.Row]:
    """The runs of a point; see `Plan.rows`."""
    shared, data = keys.shared(point.scenario), point.scenario.as_dict()
    for place in seeds:
        seed = point.scenario.seed + place
        yield point.values, seed, PlannedRun(key_of(shared, seed), {**data, "seed": seed})


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

    def by_point(self, keys: Sequence[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Each point in words, and what its runs that have not failed have in the table; none of a point without."""
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

    def recommend(self, keys: Sequence[str], late_at_most: float = LATE_AT_MOST) -> Recommendation | None:
        """Which point to take, of those that `keys` tell apart; None where nothing is to be chosen."""
        chosen = [key for key in keys if key != "seed"]
        try:
            return answer(self.table, chosen, late_at_most=late_at_most).recommend()
        except ScenarioError:  # no key, no finished run, or a point that is there twice
            return None


def sweep(
    what: str | Path | Scenario,
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

    `what` is a scenario, or names a pipeline or a scenario file; `vary` and the other `options` as in `Options`. With a
    folder, runs that it holds already are not run again. `jobs` runs at a time (default: one per core), or on the
    cluster that `on` names. A run that fails has its error in the column `error`.

    Raises as `prepare` and `conduct`.
    """
    plan = prepare(what, Options(vary=vary, **options))
    with TemporaryDirectory() if folder is None else nullcontext(str(folder)) as place:
        return conduct(plan, Running(Path(place), jobs, on, progress, log)).table


def prepare(what: str | Path | Scenario, options: Options) -> Plan:
    """The plan of a sweep, checked.

    Raises ScenarioError, PolicyError, ProfileError or TraceError for what cannot be run, before anything runs.
    """
    own = {"records": "none", **(options.values or {})}
    base = what.with_values(own) if isinstance(what, Scenario) else results.find(str(what), own)
    vary = options.vary
    given = (axis_of(*each) for each in vary.items()) if isinstance(vary, Mapping) else map(parse_axis, vary)
    branches = [*map(Branch, given), *(_branch(text) for text in _several(options.when))]
    if not branches:
        raise ScenarioError(f"nothing is varied: {SHAPE}")
    where = tuple(map(conditions.parse, _several(options.where)))
    space = Space(tuple(branches), where, options.sample, options.points, options.sample_seed)
    aims = tuple(map(stopping.parse, _several(options.until)))
    plan = Plan(base, space, options.seeds or (stopping.MOST if aims else 1), aims)
    return replace(plan, size=_checked(plan))


def _branch(text: str) -> Branch:
    condition, colon, axis = text.partition(": ")
    if not colon:
        raise ScenarioError(f"--when {text}: should be CONDITION: KEY=VALUES, such as policy==ipa: policy.alpha=1,2")
    return Branch(parse_axis(axis, f"--when {condition}:"), conditions.parse(condition, "--when"))


def _several(texts: Texts) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts


def _checked(plan: Plan) -> int:
    """How many points there are. Raises ScenarioError for none, and for any that cannot be run, naming its values.

    The keys and values of every point are checked; beyond that, a scenario with each value that a key takes is prepared
    (its policy, pipeline and load are made).
    """
    if "seed" in plan.space.keys and (plan.seeds > 1 or plan.aims):
        raise ScenarioError("seed: is varied itself; leave out --seeds and --until")
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
    """Why the scenario cannot be run, if it cannot."""
    try:
        prepare_run(scenario)
    except ValueError as error:
        return error
    return None


def in_words(values: Values) -> str:
    """The values of a point: `policy.alpha=1, hop_s=0.1`."""
    return ", ".join(f"{key}={value}" for key, value in values.items())


def conduct(plan: Plan, running: Running) -> Swept:
    """Run what the folder does not hold yet of a plan, then write the table.

    An interrupt keeps what has finished. Raises ScenarioError for a folder that holds anything but a sweep or cannot be
    written, and as `begun` and `Session.executor`.
    """
    keys = Keys()
    path = running.folder / TABLE
    with begun(running, _manifest(plan), "summary") as session:
        with session.executor(point.scenario for point in plan.points()) as run:
            looks = list(_looks(plan, keys, session, run))
            seeds = looks[-1].seeds if looks else plan.seeds

        def rows() -> Iterator[table.Row]:
            return plan.rows(keys, range(seeds))

        session.store.say_left_out((planned.key for _, _, planned in rows()), f"{path}")
        summary = table.first_summary(rows(), session.store)
        errors = table.write(rows(), session.store, _axes(plan), summary, path)
    told = dict(errors.most_common(ERRORS_TOLD))
    swept = Swept(running.folder, plan.size, seeds, session.ran, errors.total(), told, tuple(looks))
    session.finish(
        seeds=list(range(plan.base.seed, plan.base.seed + seeds)),
        runs=swept.runs,
        failed=swept.failed,
        looks=[look.as_dict() for look in looks],
    )
    return swept


def _looks(plan: Plan, keys: Keys, session: Session, run: Callable[..., Ran]) -> Iterator[Look]:
    """Run what is missing: with all seeds, or look by look until the aims are reached; each look."""

    def run_seeds(seeds: range) -> None:
        run((planned for _, _, planned in plan.rows(keys, seeds)), plan.size * len(seeds))

    if not plan.aims:
        run_seeds(range(plan.seeds))
        return
    # The first run alone shows whether what is aimed at is an outcome.
    rows = list(islice(plan.rows(keys, range(1)), 1))
    ran = run([planned for _, _, planned in rows], 0)
    if summary := table.first_summary(rows, session.store):
        stopping.check_outcomes(plan.aims, summary)
    made = ran.fresh - ran.failed
    session.ran = Ran(fresh=made, found=-made)  # at the first look it is there, and is tried again if it has failed
    done = 0
    for seeds, error in stopping.looks(plan.seeds):
        run_seeds(range(done, seeds))
        done = seeds
        look = _look(plan, keys, session, seeds, error)
        yield look
        if look.missed == 0:
            return


def _look(plan: Plan, keys: Keys, session: Session, seeds: int, error: float) -> Look:
    """How wide the intervals are after so many seeds; a point none of whose runs has finished is left out."""
    missed, widest = 0, 0.0
    rows = plan.rows(keys, range(seeds))
    while some := list(islice(rows, seeds)):
        found = session.store.summaries([planned.key for _, _, planned in some])
        summaries = [each for _, _, planned in some if isinstance(each := found.get(planned.key), dict)]
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


def _manifest(plan: Plan) -> dict[str, Any]:
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
        "drawn": space.points,
        "points": plan.size,
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


@dataclass(frozen=True)
class Trial:
    """The size of a sweep. `run_s`: the mean time of a run on one core of this machine; `missing`: the runs that the
    folder lacks; `seeds`: at most, where `is_open`."""

    points: int
    seeds: int
    is_open: bool
    missing: int
    run_s: float
    tried: int
    jobs: int
    example: str

    @property
    def runs(self) -> int:
        """All runs; at most, where `is_open`."""
        return self.points * self.seeds

    @property
    def estimated_s(self) -> float:
        """How long the missing runs would take on this machine."""
        return self.missing * self.run_s / min(self.jobs, max(1, self.missing))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "runs": self.runs, "estimated_s": self.estimated_s}


def trial(plan: Plan, jobs: int, folder: Path | None) -> Trial:
    """Try a few runs of a sweep: what it is, and how long it would take in `jobs` processes."""
    wanted = {0, plan.size // 2, plan.size - 1}
    chosen = [point for place, point in enumerate(plan.points()) if place in wanted]
    keys = Keys()
    planned = [run for point in chosen for _, _, run in rows_of(point, keys, range(1))]
    mark = uuid4().hex
    make("summary", mark, planned[:1])
    took_s = make("summary", mark, planned).took_s
    there = 0
    if folder is not None and (folder / FINISHED).is_file():
        with opened(folder / FINISHED) as store:
            there = store.count(run.key for _, _, run in plan.rows(keys, range(plan.seeds)))
    return Trial(
        points=plan.size,
        seeds=plan.seeds,
        is_open=bool(plan.aims),
        missing=plan.size * plan.seeds - there,
        run_s=took_s / len(planned),
        tried=len(planned),
        jobs=jobs,
        example=_example(*chosen[0]),
    )


def _example(values: Values, scenario: Scenario) -> str:
    """A point's scenario as a file that `ipa simulate` runs: what is not a default, and all values of the point."""
    import yaml

    data = scenario.model_dump(mode="json", exclude_defaults=True)
    data |= {key: getattr(scenario, key) for key in values if "." not in key and key not in data and key != "policy"}
    head = {"schema_version": scenario.schema_version, "kind": scenario.kind}
    text: str = yaml.safe_dump({**head, **data}, sort_keys=False, allow_unicode=True)
    return text
