"""`ipa profile run`: what is measured and in which order, how it is kept, and what is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from ipa import profiles
from ipa.live import LiveError, profiling
from ipa.live.profiling import Effort, MeasuredVariant, ModelAnswer, Overhead, Point, Target
from ipa.profiles import Pipeline
from ipa.studies.runs.profiling import language_loads
from ipa.studies.runs.profiling.language_fit import Fit
from ipa.studies.runs.profiling.measurements import Measurements
from ipa.studies.runs.profiling.plan import Advance, ProfilingPlan
from ipa.studies.scenario import ScenarioError


@dataclass(frozen=True)
class Skipped:
    """A point that was not measured: a batch of `shown_by` already takes longer than the stage's SLA."""

    stage: str
    variant: str
    cores: int
    batch: int
    shown_by: int
    most_s: float


@dataclass(frozen=True)
class Profile:
    """The measurements of a plan, the points skipped, and (stage, variant) -> the fit of each language model."""

    plan: ProfilingPlan
    measurements: Measurements
    skipped: tuple[Skipped, ...]
    fits: Mapping[tuple[str, str], Fit]


def count(plan: ProfilingPlan) -> int:
    """How many measurements there are if none is skipped."""
    per_variant = len(plan.cores) * len(plan.batches)
    loads = sum(len(language_loads.loads_of(plan, target)) for target in plan.language_targets)
    return len(plan.batch_targets) * per_variant + loads


def check(
    targets: Sequence[tuple[Target, Sequence[int]]],
    pipeline: Pipeline | None,
    cores: int,
    effort: Effort,
    source: str = "",
) -> Iterator[str]:
    """Check, with the batch sizes to serve, that models do what a profile assumes.

    Yields remarks on them. `pipeline` None: its file does not exist yet; else `source` is its name or file. Raises
    LiveError if a batch gets wrong answers or neighbouring stages do not fit, and as `measure`.
    """
    stages: dict[str, list[ModelAnswer]] = {}
    with TemporaryDirectory(prefix="ipa-check-") as folder:
        for target, batches in targets:
            log = Path(folder) / "server.log"
            if pipeline is not None and pipeline.stage(target.stage).tokens is not None:
                profiling.finished(language_loads.check(target, pipeline, source, effort, log))
                continue
            rows = None if pipeline is None else pipeline.stage(target.stage).output_rows
            answering = _ask(target, batches, rows, cores, effort, log)
            answer = profiling.finished(answering)
            yield from answer.doubts
            if pipeline is not None and profiling.edges_from(pipeline, target.stage):
                try:
                    profiling.items_on(pipeline, target, answer.outputs)
                except LiveError as error:
                    raise LiveError(f"{source}: {error}") from None
            stages.setdefault(target.stage, []).append(answer)
    input_names = {
        described["name"]: None for answers in stages.values() for answer in answers for described in answer.inputs
    }
    for name in (name for target, _ in targets for name in target.shapes or {} if name not in input_names):
        raise ScenarioError(f"--shape {name}: no such input; inputs: {', '.join(input_names)}")
    for before, after in _neighbouring(list(stages), pipeline):
        inputs = None if pipeline is None else pipeline.stage(after).inputs
        for first in stages.get(before, ()):
            for second in stages.get(after, ()):
                yield from filter(None, [profiling.check_fit(first, second, inputs)])


def _neighbouring(stages: Sequence[str], pipeline: Pipeline | None) -> list[tuple[str, str]]:
    """Pairs of stages of which the second takes the first one's output; in a graph, if it takes no other."""
    if pipeline is None or pipeline.graph is None:
        return list(pairwise(stages if pipeline is None else list(pipeline.by_name)))
    graph = pipeline.graph
    return [(edge.parent, edge.child) for edge in graph.edges if len(graph.into(edge.child)) == 1]


async def _ask(
    target: Target, batches: Sequence[int], rows: Mapping[str, int | str] | None, cores: int, effort: Effort, log: Path
) -> ModelAnswer:
    async with profiling.opened(target, cores, effort, log) as (session, _):
        return await profiling.asked(session, batches, rows)


def measure(plan: ProfilingPlan, measurements: Measurements, advance: Advance) -> Profile:
    """Measure what is not kept yet.

    Raises RunError or ProbeError if a server fails, LiveError if a model cannot be asked, ScenarioError if a step
    cannot be fitted.
    """
    targets = {(target.stage, target.variant): target for target in plan.batch_targets}
    skipped: list[Skipped] = []
    with TemporaryDirectory(prefix="ipa-profile-") as folder:
        log = Path(folder) / "server.log"
        for visit in profiling.visits(list(targets), plan.cores, plan.batches):
            target = targets[visit.stage, visit.variant]
            skipped += profiling.finished(_visit(plan, measurements, target, visit, log, advance))
        for target in plan.language_targets:
            profiling.finished(language_loads.measure(plan, measurements, target, log, advance))
    return Profile(plan, measurements, tuple(skipped), language_loads.fits(plan, measurements))


async def _visit(
    plan: ProfilingPlan, measurements: Measurements, target: Target, visit: MeasuredVariant, log: Path, advance: Advance
) -> list[Skipped]:
    """Measure the points of a visit that are neither kept nor ruled out."""
    skipped: list[Skipped] = []
    todo = list(_todo(plan, measurements, visit, skipped, advance))
    if not todo:
        return skipped
    async with profiling.opened(target, visit.cores, plan.effort, log) as (session, server):
        for batch in todo:
            if skip := _ruled_out(plan, measurements, visit, batch):
                skipped.append(skip)
                advance(spared(skip))
                continue
            point = await session.point(batch)
            measurements.add(point)
            advance(_said(point))
        if server is not None:
            measurements.add(profiling.started(target, visit.cores, server))
            batches_before = {overhead.batch for overhead in measurements.of(Overhead, visit.stage, visit.variant)}
            missing = {1, max(todo)} - batches_before
            if missing and visit.cores == plan.cores[0]:
                async with profiling.does_nothing(visit.cores, log) as nothing:
                    for batch in sorted(missing):
                        measurements.add(await session.overhead(batch, nothing))
    return skipped


def _todo(
    plan: ProfilingPlan, measurements: Measurements, visit: MeasuredVariant, skipped: list[Skipped], advance: Advance
) -> Iterator[int]:
    """The batch sizes of a visit that may need measuring; those ruled out already are added to `skipped`."""
    points = measurements.points(visit.stage, visit.variant)
    for batch in visit.batches:
        if (visit.cores, batch) in points:
            advance("")
        elif skip := _ruled_out(plan, measurements, visit, batch):
            skipped.append(skip)
            advance(spared(skip))
        else:
            yield batch


def _ruled_out(plan: ProfilingPlan, measurements: Measurements, visit: MeasuredVariant, batch: int) -> Skipped | None:
    most_s = stage_sla_s(plan, measurements, visit.stage)
    points = measurements.points(visit.stage, visit.variant)
    means_s = {size: point.mean_s for (cores, size), point in points.items() if cores == visit.cores}
    shown_by = None if most_s is None else profiling.ruled_out(means_s, batch, most_s)
    if shown_by is None or most_s is None:
        return None
    return Skipped(visit.stage, visit.variant, visit.cores, batch, shown_by, most_s)


def stage_sla_s(plan: ProfilingPlan, measurements: Measurements, stage: str) -> float | None:
    """A stage's SLA [s]: the pinned one, else by the rule once all single requests are measured; None before."""
    pinned_s = plan.most_s(stage)
    if pinned_s is not None:
        return pinned_s
    most = max(plan.cores)
    singles = [
        measurements.points(stage, target.variant).get((most, 1)) for target in plan.targets if target.stage == stage
    ]
    if not all(singles):
        return None
    return profiles.stage_sla_s(point.p99_s for point in singles if point)


def _said(point: Point) -> str:
    busy = f"; others used {100 * point.others:.0f} % of the machine" if point.others > 0.05 else ""
    stolen = f"; {100 * point.steal:.0f} % was stolen by its host" if point.steal > 0.02 else ""
    far = f", {point.outliers} far out" if point.outliers else ""
    return (
        f"{place(point)}: mean {1000 * point.mean_s:.4g} ms"
        f"{_sure(point.mean_within)}, p99 {1000 * point.p99_s:.4g} ms{_sure(point.p99_within)}, "
        f"{point.throughput_rps:.4g} requests/s ({point.count} batches{far}{busy}{stolen})"
    )


def _sure(within: float | None) -> str:
    return " ± ?" if within is None else f" ± {100 * within:.1f} %"


def place(point: Point | Skipped) -> str:
    """The name of a point, in words."""
    return f"{point.stage} {point.variant}, {cores_text(point.cores)}, batch {point.batch}"


def spared(point: Skipped) -> str:
    """Why a point was not measured, in words."""
    return (
        f"{place(point)}: not measured, as batch "
        f"{point.shown_by} takes longer than the stage's SLA, {point.most_s:.3g} s"
    )


def cores_text(cores: int, adjective: str = "") -> str:
    """A number of cores, in words."""
    return f"{cores} {adjective}{'core' if cores == 1 else 'cores'}"
