"""The command `ipa`. It parses, calls the Python face and prints; everything heavy is imported where it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa.errors import Error, InputError
from ipa.studies.commands.cluster import cluster_options
from ipa.studies.commands.live import live
from ipa.studies.commands.options import build_scenario, echo_json, prometheus_options, scenario_options

if TYPE_CHECKING:
    from ipa.studies.results import RunData


class Commands(click.Group):
    """A group that answers wrong input with one clear message and exit code 2, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            raise click.Abort from None
        except InputError as error:
            raise click.UsageError(str(error)) from None
        except BrokenPipeError:
            # The reader of our output has gone (`ipa ... | head`): no error of ours.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from None
        except Error as error:
            click.echo(f"Error: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ipa-pipelines", prog_name="ipa")
def main() -> None:
    """Simulate and run inference pipelines that adapt: which variant, batch size and how many replicas, again and
    again.

    \b
    ipa simulate video                       IPA on 20 minutes of a bursty load
    ipa compare video --report report.html   IPA, scale-only and switch-only side by side
    ipa optimise video --load 20             one decision, explained
    """


# ---- the commands ----


@main.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option("--policy", help="ipa, scale-only:low, switch-only, static, or my.py:MyPolicy [ipa]")
@scenario_options
@click.option("--out", type=click.Path(path_type=Path), help="a new folder for tables, journal and manifest")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="an HTML file to write")
@click.option("--json", "as_json", is_flag=True, help="print the summary as JSON alone")
def simulate(
    what: str,
    policy: str | None,
    assignments: Sequence[str],
    out: Path | None,
    report: Path | None,
    as_json: bool,
    **options: object,
) -> None:
    """Run one policy on one load.

    PIPELINE is a shipped pipeline's name, such as video; FILE a pipeline or scenario file.
    """
    from ipa.studies import results
    from ipa.studies import simulate as run_scenario
    from ipa.studies.commands import printing as terminal

    scenario = build_scenario(what, assignments, policy=policy, **options)
    if out is not None:
        results.claim(out)
    if report is not None:
        check_report(report, out, scenario.records)
    with terminal.share_done("simulated") as on_step, redirect_stdout(sys.stderr):  # a policy of one's own may print
        run = run_scenario(scenario, on_step)
    if out is not None:
        results.write_run(run, out)
    if report is not None:
        write_report([run], report)
    if as_json:
        echo_json(run.summary)
    else:
        terminal.print_run(run, out, report)
    terminal.warn([run.summary])


@main.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="one of the policies; repeat for more [the published four]",
)
@scenario_options
@click.option("--seeds", type=click.IntRange(min=1), default=1, help="runs per policy, from --seed on [1]")
@click.option("--jobs", type=click.IntRange(min=1), help="runs at a time, at most two a core [all cores]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="a folder for all runs; an interrupted one is gone on with",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="an HTML file to write")
@click.option("-q", "--quiet", is_flag=True, help="no progress on stderr")
@click.option("--json", "as_json", is_flag=True, help="print the summaries as a JSON list alone")
def compare(
    what: str,
    policies: Sequence[str],
    assignments: Sequence[str],
    seeds: int,
    jobs: int | None,
    out: Path | None,
    report: Path | None,
    quiet: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Run several policies on the same requests, and say which is cheaper, more accurate, in time.

    With --out each run is kept as soon as it is finished. After an interrupt the same command goes on with the rest;
    so does one with more policies or seeds. One that would leave out or change a run that is there is refused.
    """
    from ipa.studies import comparison, results
    from ipa.studies.commands import printing as terminal
    from ipa.studies.run import prepare

    base = build_scenario(what, assignments, **options)
    chosen = comparison.scenarios(base, policies or comparison.BASELINES, seeds)
    for scenario in chosen[::seeds]:
        prepare(scenario)
    if report is not None:
        check_report(report, out, base.records)
    if out is not None:
        results.open_comparison(chosen, out)
    with ended_in_order(out), terminal.progress("runs", len(chosen), quiet) as advance, redirect_stdout(sys.stderr):
        runs = comparison.run_all(chosen, jobs=at_once(jobs), folder=out, on_finished=advance)
    if out is not None:
        results.close_comparison(runs, out)
    if report is not None:
        write_report(runs, report)
    if as_json:
        echo_json([dict(run.summary) for run in runs])
    else:
        terminal.print_comparison(runs, out, report)
    terminal.warn([run.summary for run in runs])


@main.command()
@click.argument("what", metavar="paper|FILE")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="a folder for the tables and the report; an interrupted study is gone on with",
)
@click.option("--pipeline", "pipelines", multiple=True, help="one of the study's pipelines; repeat for more [all]")
@click.option("--seeds", type=click.IntRange(min=1), help="runs a cell, from seed 1 on [the study's, for paper 5]")
@click.option("--jobs", type=click.IntRange(min=1), help="runs at a time, at most two a core [all cores]")
@click.option("-q", "--quiet", is_flag=True, help="no progress on stderr")
@click.option("--json", "as_json", is_flag=True, help="print what was found as JSON alone")
def study(
    what: str, out: Path, pipelines: Sequence[str], seeds: int | None, jobs: int | None, quiet: bool, as_json: bool
) -> None:
    """Run a study: named systems on several loads, over seeds, with sweeps, as tables and one report.

    `paper` is the published evaluation with further systems; FILE a study file of your own. Each run is kept as soon as
    it is finished: after an interrupt, or with more seeds or pipelines, or a changed file, only what is missing is run.
    """
    from ipa.studies.commands import printing as terminal
    from ipa.studies.study import conduct, summary

    check_plotly("a study's report")
    wanted = conduct.prepare(what, pipelines, seeds)
    log = (lambda _: None) if quiet else terminal.log
    with ended_in_order(out), redirect_stdout(sys.stderr):
        found = conduct.conduct(wanted, out, at_once(jobs), lambda total: terminal.progress("runs", total, quiet), log)
    if as_json:
        echo_json(summary.as_dict(found, out))
    else:
        summary.print_found(found, out)


@main.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option(
    "--load",
    "load_rps",
    type=float,
    required=True,
    help="the load to plan for, requests per second",
)
@click.option("--policy", help="the policy whose parameters to use [ipa]")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="a key of the scenario, such as policy.beta=0.5",
)
@click.option("--json", "as_json", is_flag=True, help="print the explanation as JSON alone")
def optimise(what: str, load_rps: float, policy: str | None, assignments: Sequence[str], as_json: bool) -> None:
    """One decision, explained: each stage's options, what binds, and the runner-up."""
    from ipa.studies import decision
    from ipa.studies.commands import printing as terminal

    explanation = decision.explain(build_scenario(what, assignments, policy=policy), load_rps)
    if as_json:
        echo_json(explanation.as_dict())
    else:
        terminal.print_explanation(explanation)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="the HTML file [FOLDER/report.html]",
)
def report(folder: Path, to: Path | None) -> None:
    """Draw the results in FOLDER, of a run or of a comparison, as one HTML file."""
    from ipa.studies import results

    path = to or folder / "report.html"
    if is_validation(folder):
        from ipa.studies.validation import page, study

        check_report(path)
        page.write(study.stored(folder), path)
        click.echo(str(path))
        return
    runs = results.read_runs(folder)
    # Results of before there was the key hold all records.
    check_report(
        path, records=next((kept for run in runs if (kept := run.summary.get("records", "all")) != "all"), "all")
    )
    write_report(runs, path)
    click.echo(str(path))


@main.command()
@click.argument("journal", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--pipeline", required=True, help="what the journal is of: a pipeline's name, or its or a scenario's file"
)
@click.option("--policy", help="the policy to ask [ipa]")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="a key of the scenario, such as policy.beta=0.5",
)
@click.option("--json", "as_json", is_flag=True, help="print the decisions as JSON lines alone")
def replay(journal: Path, pipeline: str, policy: str | None, assignments: Sequence[str], as_json: bool) -> None:
    """What another policy would have decided on what a recorded JOURNAL saw."""
    from ipa.studies import decision
    from ipa.studies.commands import printing as terminal

    scenario = build_scenario(pipeline, assignments, policy=policy)
    with redirect_stdout(sys.stderr):
        replayed = decision.replay(journal, scenario)
    if as_json:
        for line in replayed.lines():
            click.echo(line)
    else:
        terminal.print_replay(replayed)


@main.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option(
    "--backend",
    type=click.Choice(["loopback", "kubernetes"]),
    default="loopback",
    help="where to run live: on processes of this machine, or what `ipa live up` has deployed [loopback]",
)
@cluster_options
@click.option("--url", help="kubernetes: where the load goes [the Service's, from outside]")
@click.option(
    "--source",
    type=click.Choice(["gateway", "prometheus"]),
    default="gateway",
    help="of what policies observe live: the gateway, in exact seconds, or a Prometheus server [gateway]",
)
@prometheus_options
@click.option("--repeats", type=click.IntRange(min=1), default=3, help="live runs of the same load [3]")
@click.option(
    "--duration",
    "duration_s",
    type=click.IntRange(min=20),
    help="seconds to compare, those with the greatest rise [the --window, else 120]",
)
@click.option("--policy", help="ipa, scale-only:low, switch-only, static, or my.py:MyPolicy [ipa]")
@scenario_options
@click.option(
    "--calibration-window", metavar="START:END", help="other seconds, to measure overheads on [those with most rise]"
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="a folder for all runs; an interrupted one is gone on with"
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="an HTML file to write")
@click.option("--json", "as_json", is_flag=True, help="print the comparison as JSON alone")
def validate(
    what: str,
    backend: str,
    context: str | None,
    namespace: str | None,
    name: str | None,
    url: str | None,
    source: str,
    prometheus: str | None,
    prometheus_match: tuple[str, ...],
    repeats: int,
    duration_s: int | None,
    policy: str | None,
    assignments: Sequence[str],
    calibration_window: str | None,
    out: Path | None,
    report: Path | None,
    as_json: bool,
    **options: object,
) -> None:
    """Run live and simulate the same: how far is the simulator from real processes?

    Overheads (of a batch, a hop, a start-up, a decision, a stop) are measured on other seconds of the load than those
    compared. With --out each live run is kept as soon as it is finished; the same command goes on with the rest. With
    --backend kubernetes gateway and replicas are those of `ipa live up`, and the load is sent from here.
    """
    from ipa.studies.live_runs.choice import Cluster, Live
    from ipa.studies.validation import command

    scenario = build_scenario(what, assignments, policy=policy, **options)
    if report is not None:
        check_report(report, out, scenario.records)
    cluster = Cluster(context, namespace, name, url) if backend == "kubernetes" else None
    command.run(
        scenario,
        Live(source=source, prometheus=prometheus, cluster=cluster, prometheus_match=prometheus_match),
        repeats=repeats,
        duration_s=duration_s,
        calibration_window=calibration_window,
        out=out,
        report=report,
        as_json=as_json,
    )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="print the findings as JSON alone")
def doctor(as_json: bool) -> None:
    """What this machine has: engines, solvers and their licences, extras, programs, files that are named."""
    from ipa.studies import doctor as findings

    found = findings.doctor()
    if as_json:
        echo_json(found)
        return
    for line in findings.lines(found):
        click.echo(line)


main.add_command(live)


@main.group()
def trace() -> None:
    """Look at loads, make them, and convert them."""


@trace.command()
@click.argument("name", metavar="NAME|FILE")
@click.option(
    "--window",
    metavar="START:END",
    help="seconds of the trace; several, comma-separated, are joined",
)
@click.option("--scale", type=float, help="factor on the requests")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="of a synthetic workload [1]")
@click.option("--json", "as_json", is_flag=True, help="print the figures as JSON alone")
def info(name: str, window: str | None, scale: float | None, seed: int, as_json: bool) -> None:
    """The figures of a load: requests, mean, range, how bursty."""
    from ipa import traces
    from ipa.studies.commands import printing as terminal
    from ipa.studies.loads import Load

    figures = traces.info(Load.given(name, window, scale, seed).trace())
    if as_json:
        echo_json(figures)
    else:
        terminal.print_figures(name, figures)


@trace.command()
@click.argument("workload")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="same seed, same load [1]")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="a new .csv or .parquet file",
)
def synthesise(workload: str, seed: int, to: Path) -> None:
    """Write a named synthetic load (bursty, steady-low, steady-high, fluctuating, constant:RATE) to a file."""
    from ipa import traces

    click.echo(str(traces.write(traces.find(workload, seed=seed), to)))


@trace.command()
@click.argument("source", metavar="NAME|FILE")
@click.argument("to", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--window",
    metavar="START:END",
    help="seconds of the trace; several, comma-separated, are joined",
)
@click.option("--scale", type=float, help="factor on the requests")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="of a synthetic workload [1]")
def convert(source: str, to: Path, window: str | None, scale: float | None, seed: int) -> None:
    """Write a load, or a part of it, to a new .csv or .parquet file."""
    from ipa import traces
    from ipa.studies.loads import Load

    click.echo(str(traces.write(Load.given(source, window, scale, seed).trace(), to)))


@main.group()
def profile() -> None:
    """Look at pipelines: variants, latencies, and where each number comes from."""


@profile.command()
@click.argument("pipeline", metavar="PIPELINE|FILE")
@click.option("--stage", help="one of its stages [all]")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="an HTML file to write, with plots")
@click.option("--json", "as_json", is_flag=True, help="print the profiles as JSON alone")
def show(pipeline: str, stage: str | None, to: Path | None, as_json: bool) -> None:
    """Accuracy, base cores, latency and throughput of every variant, and what of it is measured."""
    from ipa import profiles
    from ipa.studies import profile as shown
    from ipa.studies.commands import printing as terminal

    found = profiles.load(pipeline)
    stages = found.stages if stage is None else (found.stage(stage),)
    if to is not None:
        from ipa.studies.profile import page
        from ipa.studies.report import save

        save(page.render(found, stages), to)
    if as_json:
        echo_json(shown.as_dict(found, stages))
    else:
        terminal.print_profiles(found, stages, to)


def at_once(jobs: int | None) -> int:
    """How many runs at a time where `jobs` are asked for: as many as cores by default, and at most two a core."""
    from ipa.studies import workers

    most = workers.PER_CORE * workers.cores()
    if jobs is not None and jobs > most:
        click.echo(f"--jobs {jobs}: {most} at a time, {workers.PER_CORE} a core; more gain nothing", err=True)
    return min(jobs or workers.cores(), most)


@contextmanager
def ended_in_order(out: Path | None) -> Iterator[None]:
    """Answers an interrupt, SIGTERM and a killed worker with one line: where what is finished stands."""
    from ipa.studies.errors import WorkerError
    from ipa.studies.workers import terminable

    kept = f": what is finished stands in {out}; the same command goes on with the rest" if out else ""
    try:
        with terminable():
            yield
    except KeyboardInterrupt:
        raise click.ClickException(f"interrupted{kept}") from None
    except WorkerError as error:
        raise click.ClickException(f"{error}{kept}") from None


def is_validation(folder: Path) -> bool:
    """Whether a folder holds a validation, finished or not."""
    from ipa.studies.validation.folder import read_manifest

    return read_manifest(folder) is not None


def check_report(path: Path, out: Path | None = None, records: str = "all") -> None:
    """Raise ScenarioError, before anything is simulated, for a report that could not be written or drawn.

    Its folder has to be there; that of `out`, which the run will make, counts as being there. Records have to be there
    of all requests.
    """
    from ipa.studies import results
    from ipa.studies.errors import ScenarioError

    if records != "all":
        raise ScenarioError(f"a report draws all requests, but records is {records}; it goes with records: all")
    folder = path.absolute().parent
    made = () if out is None else (out.absolute(), *out.absolute().parents)
    if not (folder.is_dir() or folder in made):
        raise ScenarioError(f"--report {path}: the folder {folder} does not exist")
    results.check_writable(folder, f"--report {path}")
    check_plotly("--report:")


def check_plotly(what: str) -> None:
    """Raise ScenarioError, before anything is simulated, where a report could not be drawn."""
    from importlib.util import find_spec

    from ipa.studies.errors import ScenarioError

    if find_spec("plotly") is None:
        raise ScenarioError(f"{what} is drawn with plotly, which is not installed: pip install 'ipa-pipelines[report]'")


def write_report(runs: Sequence[RunData], path: Path) -> None:
    """Write the report of finished runs."""
    from ipa.studies import report as drawing

    drawing.write(runs, title_of(runs), path)


def title_of(runs: Sequence[RunData]) -> str:
    """What a report is about: the policies, the pipeline and the load."""
    policies = list(dict.fromkeys(str(run.summary["policy"]) for run in runs))
    first = runs[0].summary
    return f"{', '.join(policies)} on {first['pipeline']}, {first['trace']}"


if __name__ == "__main__":
    main()
