"""Options that several commands share, and the scenario that they describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

import ipa
from ipa import profiles, studies
from ipa.studies.commands import complete, printing
from ipa.studies.commands.amounts import Number, Whole
from ipa.studies.scenario import ScenarioError, choices

if TYPE_CHECKING:
    from ipa.studies import Scenario
    from ipa.traces import TimeHints

F = TypeVar("F", bound=Callable[..., Any])


class File(click.Path):
    """The path of a file, which may not be there yet."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        if isinstance(path, Path) and path.is_dir():
            self.fail(f"{str(value)!r} is a folder; allowed: a file", param, ctx)
        return path


NEW_FILE = File()
FOLDER = click.Path(path_type=Path)


class Url(click.ParamType[str]):
    """The address of a server; an empty one is none."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value and not re.fullmatch(r"https?://[^/?#\s]+(/\S*)?", value):
            self.fail(f"{value!r}; allowed: the URL of a server, such as http://localhost:8080", param, ctx)
        return str(value)


class Words(click.Choice[str]):
    """A choice among words, those of a `Literal` or others; a wrong one is answered with the nearest and with all."""

    def __init__(self, words: object) -> None:
        super().__init__(get_args(words) or cast("Sequence[str]", words))

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """None: the usage, which stands above, names the words already."""
        return ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            hint = profiles.did_you_mean(value, self.choices)
            self.fail(f"{value!r}; allowed: {', '.join(self.choices)}{hint}", param, ctx)
        return str(value)


def together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator; the help lists them in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# ---- the scenario ----


pipeline_argument = click.argument("what", metavar="PIPELINE|FILE", shell_complete=complete.pipelines)
"""A shipped pipeline's name, or a pipeline or scenario file."""


def _policy_option(default: str) -> Callable[[F], F]:
    return click.option(
        "--policy",
        shell_complete=complete.policies,
        help="Policy to run: ipa, scale-only:low, switch-only, static, ... or a class in a file, my.py:MyPolicy; "
        f"parameters may follow: 'ipa alpha=2'. Default: {default}.",
    )


policy_option = _policy_option("ipa")
live_policy_option = _policy_option(choices.LIVE_POLICY)

set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete.keys,
    help="Set any scenario key, such as policy.beta=1, guards.hysteresis=0.1 or limits.node_cores=8. Repeatable.",
)

window_option = click.option(
    "--window",
    metavar="START:END",
    help="Seconds of the trace to use. Several windows, separated by commas, are joined.",
)

time_options = together(
    click.option("--time-column", metavar="NAME", help="Column of times in a trace file. Default: by name."),
    click.option(
        "--time-unit",
        type=Words(choices.TimeUnit),
        help="Unit of the numbers in that column. Default: as its name or their size says.",
    ),
    click.option("--time-zone", metavar="ZONE", help="Zone of times without one, such as Europe/Berlin."),
    click.option(
        "--count-column", metavar="NAME", help="Column of counts; none: each row is a request. Default: by name."
    ),
)
"""The options that say what a trace file does not say of its columns."""

scale_option = click.option(
    "--scale", type=Number(min=0.0, min_open=True), help="Multiply the request rate by this factor. Default: 1."
)

workload_seed_option = click.option(
    "--seed", type=Whole(min=0), default=1, help="Seed of a synthetic workload. Default: 1."
)

seed_option = click.option("--seed", type=Whole(min=0), help="Seed of every random draw. Default: 1.")

load_options = together(
    click.option(
        "--trace",
        shell_complete=complete.traces,
        help="Trace to run on: a named workload (bursty, steady-low, ...), a window of the real trace (twitter:bursty) "
        "or a file. Default: bursty.",
    ),
    time_options,
    window_option,
    scale_option,
    click.option(
        "--scaling",
        type=Words(choices.Scaling),
        help="How to scale: floor (round down) or thin (draw at random). Default: floor.",
    ),
    click.option(
        "--arrivals",
        type=Words(choices.Arrivals),
        help="How requests arrive within a second. Default: poisson.",
    ),
    seed_option,
)
"""The options that each set a key of a scenario's load."""

journal_option = click.option(
    "--journal",
    type=Words(choices.Journal),
    help="Detail of the journal: lean, or full, so that any policy can replay it. Default: lean.",
)


def records_option(default: str) -> Callable[[F], F]:
    """The option --records, whose help says what is kept without it."""
    help_text = f"Which requests to keep records of. Default: {default}."
    return click.option("--records", type=Words(choices.Records), help=help_text)


scenario_options = together(load_options, journal_option, records_option("all"), set_option)
"""The options that each set a key of the scenario."""


def time_hints(
    time_column: str | None, time_unit: str | None, time_zone: str | None, count_column: str | None
) -> TimeHints:
    """What the time options say. Raises TraceError for an unknown zone."""
    return ipa.traces.TimeHints(time_column, time_unit, time_zone, count_column)


def build_scenario(what: str, assignments: Sequence[str], **options: object) -> Scenario:
    """The scenario that a command's argument and options describe, for a policy to run.

    What its pipeline leaves out is said on stderr, unless the command is quiet. Raises ScenarioError or
    ProfileError.
    """
    scenario = described_scenario(what, assignments, **options)
    printing.say_rules(scenario.pipeline)
    return scenario


def build_live_scenario(what: str, assignments: Sequence[str], **options: object) -> Scenario:
    """As `build_scenario`; where neither an option nor a file names a policy it is that of live mode, which is said."""
    given = _given(assignments, options)
    scenario = studies.find(what, given, {"policy": choices.LIVE_POLICY})
    if scenario.policy != studies.find(what, given).policy:
        printing.note(f"Policy: {choices.LIVE_POLICY}, the default of live mode; --policy names another")
    printing.say_rules(scenario.pipeline)
    return scenario


def described_scenario(what: str, assignments: Sequence[str] = (), **options: object) -> Scenario:
    """The scenario that a command's argument and options describe. Raises ScenarioError or ProfileError."""
    return studies.find(what, _given(assignments, options))


def _given(assignments: Sequence[str], options: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None} | assigned(assignments)


def assigned(assignments: Sequence[str]) -> dict[str, Any]:
    """The values that --set gives, by key. Raises ScenarioError for one that is not KEY=VALUE."""
    values = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise ScenarioError(f"--set {assignment}: should be KEY=VALUE, such as policy.beta=0.5")
        try:
            values[key] = studies.parse_value(value)
        except ScenarioError as error:
            raise ScenarioError(f"--set {assignment}: {error}") from None
    return values


# ---- many runs ----


jobs_option = click.option(
    "--jobs", type=Whole(min=1), help="Runs at a time, at most two per core. Default: one per core."
)

on_option = click.option(
    "--on",
    default="local",
    metavar="PLACE",
    help="Where to run: local, with --jobs processes, or on a Dask cluster that is there: dask://HOST:PORT. Default: "
    "local.",
)


# ---- what comes out ----


out_option = click.option("--out", type=FOLDER, help="Write the results to this new or empty folder.")

resumable_out_option = click.option(
    "--out", type=FOLDER, help="Write every run to this folder; repeat the command to resume an interrupted one."
)

token_file_option = click.option(
    "--token-file", type=NEW_FILE, help="File with the token that the gateway asks its clients for. Default: none."
)

report_option = click.option("--report", type=NEW_FILE, help="Write an HTML report to this file.")

output_options = together(
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=printing.silence,
        help="Print no progress and no notes on stderr; warnings and errors remain.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."),
)
"""What every command has: how much it says beside its results, and in which form it prints them."""


# ---- live ----


url_option = click.option(
    "--url", metavar="URL", help="kubernetes: where to send the load. Default: the gateway's Service, from outside."
)

source_option = click.option(
    "--source",
    type=Words(choices.Source),
    default="gateway",
    help="Where policies get their observations live: gateway, in exact seconds, or prometheus. Default: gateway.",
)

prometheus_options = together(
    click.option(
        "--prometheus",
        metavar="URL",
        help="Prometheus server that scrapes the gateway. Default: one is started.",
    ),
    click.option(
        "--prometheus-match",
        multiple=True,
        metavar='LABEL="VALUE"',
        help="Read only the series that have this label. Repeatable; all must match.",
    ),
)
"""The options that say which Prometheus server is read, and which series of it."""

real_options = together(
    click.option(
        "--models",
        default="",
        metavar="FOLDER|emulated",
        help="loopback: folder with real models, [PIPELINE/]STAGE/VARIANT/. Default: those that the pipeline's file "
        "names, or else emulated.",
    ),
    click.option(
        "--samples",
        default="",
        metavar="FOLDER|FILE",
        help="What to send: a folder of files with its labels.jsonl, a .npz file whose rows are requests, or a .json "
        "file with a V2 request. Default: pages to read, for the models of the extra ocr, or else zeros, shaped as the "
        "model's metadata says.",
    ),
)
"""The options that say which real models serve, and what is sent to them."""

store_option = click.option(
    "--s3-endpoint",
    "endpoint",
    default="https://s3.amazonaws.com",
    type=Url(),
    help="The object store. Default: Amazon's.",
)

name_option = click.option("--name", help="Name of the deployed pipeline. Default: ipa-PIPELINE.")

cluster_options = together(
    click.option("--context", help="Context in the kubeconfig. Default: the current one."),
    click.option("--namespace", help="Namespace of the pipeline. Default: the context's."),
    name_option,
)
"""The options that say which cluster, and what on it."""
