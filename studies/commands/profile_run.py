"""`ipa profile run`: measures a profile on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from ipa.live.profiling import Effort
from ipa.studies import profiling, results
from ipa.studies.commands import printing, progress
from ipa.studies.commands.options import (
    FOLDER,
    NEW_FILE,
    Number,
    Url,
    output_options,
)
from ipa.studies.commands.profile_fit import print_fit
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.live.profiling import Point
    from ipa.studies.runs.profiling import Profile


BUSY = 0.05
"""The share of the machine used by other processes above which a warning is printed."""
STOLEN = 0.02


def wholes(_: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """Comma-separated whole numbers from 1; empty if not given."""
    if text is None:
        return ()
    if not re.fullmatch(r"[1-9][0-9]{0,3}(,[1-9][0-9]{0,3})*", text):
        raise click.BadParameter(f"{text!r}; allowed: whole numbers from 1 to 9999, such as 1,2,4", param=option)
    return tuple(map(int, text.split(",")))


def names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Comma-separated names; empty if not given."""
    return tuple(filter(None, map(str.strip, (text or "").split(","))))


@click.command()
@click.argument("what", metavar="PIPELINE|FILE|MODEL_FOLDER")
@click.option("--models", type=FOLDER, help="Folder with the pipeline's models: [PIPELINE/]STAGE/VARIANT/model.onnx.")
@click.option(
    "--server", default="", type=Url(), help="Profile the models of this V2 server, which have the variants' names."
)
@click.option(
    "--stages",
    "--stage",
    "stages",
    metavar="NAME,...",
    callback=names,
    help="Profile only these stages; of a model folder, in the order in which requests pass them.",
)
@click.option("--variant", "variants", multiple=True, help="Profile only this variant. Repeatable.")
@click.option("--batches", metavar="N,...", callback=wholes, help="Batch sizes. Default: 1,2,4,8.")
@click.option("--cores", metavar="N,...", callback=wholes, help="Numbers of cores, of threads too. Default: 1.")
@click.option(
    "--samples", type=FOLDER, help="Sample requests: a .npz file with a request per row, or a folder of files."
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="INPUT=N,...",
    help="Shape of random requests, without the batch axis, where the model leaves it open. Repeat for several shapes.",
)
@click.option(
    "--within",
    "within_percent",
    type=Number(min=0.1, max=100.0),
    default=5.0,
    help="Repeat until the 95 % intervals of mean and p99 are within this many per cent. Default: 5.",
)
@click.option(
    "--longest",
    "longest_s",
    type=Number(min=0.1, max=3600.0),
    default=30.0,
    help="Measure a point for at most this many seconds. Default: 30.",
)
@click.option("--to", type=NEW_FILE, help="Write the pipeline to this file. Default: beside the given one.")
@click.option("--in-place", is_flag=True, help="Write the figures into the given pipeline file.")
@output_options
def run(
    what: str,
    shapes: Sequence[str],
    within_percent: float,
    longest_s: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure latency and throughput of variants, and write them into a pipeline file.

    Each variant's model is started in a model server of its own, pinned to the given number of cores, and sent batches:
    one at a time for mean and p99, then several in flight for the throughput. --server profiles any other server of the
    Open Inference Protocol V2 (MLServer, Triton). Each measurement is saved as it is made: repeat the command to
    resume.

    A language model (`kind: llm` in FILE) is measured at two loads, one request at a time and enough to keep it busy,
    and its step is fitted to half of the requests, as by `ipa profile fit`.
    """
    effort = Effort(within_percent / 100, longest_s)
    plan = profiling.make(what, profiling.AskedPoints(shapes=_shapes(shapes), effort=effort, **options))
    today = date.today().isoformat()
    results.check_writable(plan.to.parent, f"--to {plan.to}")
    head = {"asked": plan.asked(), "began": today, **results.versions()}
    measurements = profiling.Measurements(plan.record, head)
    if measurements.found:
        printing.note(f"{plan.record}: goes on after {measurements.found} measurements; remove it to begin again")
    points = [measurements.points(target.stage, target.variant) for target in plan.batch_targets]
    if any((plan.cores[0], 1) not in measured for measured in points):
        batches = [(target, plan.batches) for target in plan.batch_targets]
        for doubt in profiling.check(batches, plan.pipeline, plan.cores[0], plan.effort, plan.source):
            printing.log(f"Warning: {doubt}")
    if plan.language_targets:
        progress.compile_engine("auto")
    with progress.counted("measurements", profiling.count(plan)) as advance:

        def tell(text: str) -> None:
            if text:
                printing.note(text)
            advance()

        profile = profiling.measure(plan, measurements, tell)
    text = profiling.write(profile, today)
    if as_json:
        printing.print_json(profiling.as_dict(profile))
    else:
        _print(profile)
    _warn(profile, "from: not-measured}" in text)


def _shapes(texts: Sequence[str]) -> Mapping[str, list[tuple[int, ...]]]:
    """The values of --shape: input -> its shapes."""
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        if not equals or not name or not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", sizes):
            raise ScenarioError(f"--shape {text}: should be INPUT=N,..., such as image=3,640,640")
        shapes.setdefault(name, []).append(tuple(map(int, sizes.split(","))))
    return shapes


def _print(profile: Profile) -> None:
    if profile.plan.batch_targets:
        _print_points(profile)
    _print_loads(profile)
    _print_content(profile)
    _print_starts(profile)
    plan = profile.plan
    for skipped in profile.skipped:
        printing.print_line(profiling.spared(skipped))
    printing.print_line(f"Pipeline: {plan.to}")
    printing.print_line(f"Measurements: {plan.record}")


def _print_points(profile: Profile) -> None:
    table = printing.new_table(
        f"{profile.plan.name}, 95 % intervals in ± %",
        *("stage", "variant", "cores", "batch", "mean ms", "±", "p99 ms", "±", "saturated rps", "±"),
        *("gain", "batches", "far out", "others %", "steal %"),
        names=2,
    )
    for target in profile.plan.batch_targets:
        points = profile.measurements.points(target.stage, target.variant)
        for (cores, batch), point in sorted(points.items()):
            single = points.get((cores, 1))
            gain = f"{point.throughput_rps / single.throughput_rps:.2f}" if single else ""
            table.add_row(
                *(target.stage, target.variant, str(cores), str(batch)),
                *(f"{1000 * point.mean_s:.4g}", _percent(point.mean_within)),
                *(f"{1000 * point.p99_s:.4g}", _percent(point.p99_within)),
                *(f"{point.throughput_rps:.4g}", _percent(point.throughput_within), gain),
                *(str(point.count), str(point.outliers), f"{100 * point.others:.0f}", f"{100 * point.steal:.1f}"),
            )
    printing.print_table(table, piped_width=160)
    printing.print_line(
        "gain: throughput over that of batch 1 on as many cores. ±: ? where too few batches were timed."
    )


def _print_loads(profile: Profile) -> None:
    """Print the times of language models under each load, and their steps."""
    if not profile.fits:
        return
    columns = ("at once", "requests", "first token ms", "further ms", "end to end s", "others %", "steal %")
    table = printing.new_table("Language models, means", "stage", "variant", *columns, names=2)
    for target in profile.plan.language_targets:
        for load in profiling.loads_of(profile, target):
            first_s, further_s, whole_s = profiling.requests_of(load).times_s.mean(axis=1)
            table.add_row(
                *(target.stage, target.variant, str(load.at_once), str(len(load.queued_s))),
                *(f"{1000 * first_s:.4g}", f"{1000 * further_s:.4g}", f"{whole_s:.4g}"),
                *(f"{100 * load.others:.0f}", f"{100 * load.steal:.1f}"),
            )
    printing.print_table(table)
    for (stage, variant), fit in profile.fits.items():
        print_fit(fit, f"{stage}/{variant}", "load")


def _print_content(profile: Profile) -> None:
    """Print batch latencies by content, if requests are of several kinds."""
    rows = [
        (target, point, content)
        for target in profile.plan.targets
        for _, point in sorted(profile.measurements.points(target.stage, target.variant).items())
        if len(point.content) > 1
        for content in point.content
    ]
    if not rows:
        return
    table = printing.new_table(
        "What is in a batch",
        "stage",
        "variant",
        "requests of",
        "cores",
        "batch",
        "share %",
        "mean ms",
        "p99 ms",
        names=3,
    )
    for target, point, content in rows:
        table.add_row(
            *(target.stage, target.variant, content.kind, str(point.cores), str(point.batch)),
            *(f"{100 * content.share:.0f}", f"{1000 * content.mean_s:.4g}", f"{1000 * content.p99_s:.4g}"),
        )
    printing.print_table(table)
    printing.print_line(
        "A batch is of one kind. The profile's mean and p99 are over all of them: p99 holds their spread."
    )


def _print_starts(profile: Profile) -> None:
    plain = profiling.as_dict(profile)
    if not any(variant["starts"] for variant in plain["variants"]):
        return
    table = printing.new_table(
        "Servers", "stage", "variant", "starts in s", "memory MiB", "nothing ms", "at batch", "client ms", names=2
    )
    for variant in plain["variants"]:
        starts = ", ".join(f"{start['start_up_s']:.2f}" for start in variant["starts"])
        memory = max((start["memory_mb"] or 0.0 for start in variant["starts"]), default=0.0)
        nothing = ", ".join(f"{1000 * over['mean_s']:.3g}" for over in variant["overheads"])
        batches = ", ".join(str(over["batch"]) for over in variant["overheads"])
        client = f"{1000 * max(point['client_s'] for point in variant['points']):.3g}" if variant["points"] else ""
        names = variant["stage"], variant["variant"]
        table.add_row(*names, starts, f"{memory:.0f}" if memory else "?", nothing, batches, client)
    printing.print_table(table)
    if any(variant["overheads"] for variant in plain["variants"]):
        printing.print_line(
            "nothing: what a batch of the same requests takes with a model that does nothing (HTTP, the server, the "
            "profiler); client: the profiler's own processor time for a batch, at most."
        )


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.1f}"


def _warn(profile: Profile, has_no_accuracies: bool) -> None:
    """Warn of what makes the figures less reliable than they look."""
    busiest = profiling.as_dict(profile)["busiest"]
    if busiest["others"] > BUSY:
        printing.log(
            f"Warning: other processes used up to {100 * busiest['others']:.0f} % of this machine meanwhile: latencies "
            "are too high and vary; measure again when it is idle"
        )
    if busiest["steal"] > STOLEN:
        printing.log(
            f"Warning: the host took up to {100 * busiest['steal']:.0f} % of this machine's processor time (steal): "
            "latencies are too high and vary"
        )
    points = profiling.points_of(profile)
    effort = profile.plan.effort
    wide = [point for point in points if not _is_sure(point, effort.within)]
    if wide:
        printing.log(
            f"Warning: {len(wide)} of {len(points)} points were not within {100 * effort.within:g} % after "
            f"{effort.longest_s:g} s; --longest gives them more time"
        )
    if has_no_accuracies:
        printing.log(f"Warning: {profile.plan.to}: accuracies are not measured: all are 1; write yours there")


def _is_sure(point: Point, within: float) -> bool:
    return all(half is not None and half <= within for half in (point.mean_within, point.p99_within))
