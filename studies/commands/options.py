"""Options that several commands share, the types of their values, and the scenario that they describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

import ipa
from ipa import profiles, studies
from ipa.numbers import quantity_of
from ipa.studies.commands import printing
from ipa.studies.scenario import Option, ScenarioError, choices, options_of

if TYPE_CHECKING:
    from ipa.studies import Load, Scenario
    from ipa.studies.many import Requirement


class Number(click.FloatRange):
    """A finite number within bounds, which may have a unit; click's own range lets nan through."""

    name = "number"

    def _describe_range(self) -> str:
        """Nothing: what is allowed is said of a number that is not, and help has to fit a screen."""
        return ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = quantity_of(value, _name(param)) if isinstance(value, str) else value
        try:
            number = super().convert(nan if number is None else number, param, ctx)
        except click.BadParameter:
            number = nan
        if not isfinite(number):
            self.fail(f"{str(value)!r}; allowed: {_within('a finite number', self)}", param, ctx)
        return float(number)


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "n"

    def _describe_range(self) -> str:
        return ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = quantity_of(value, _name(param)) if isinstance(value, str) else value
        whole: Any = number if isinstance(number, int) else ""
        try:
            bounded: int = super().convert(whole, param, ctx)
        except click.BadParameter:
            self.fail(f"{str(value)!r}; allowed: {_within('a whole number', self)}", param, ctx)
        return bounded


def _name(param: click.Parameter | None) -> str:
    """The name of an option, which says its unit."""
    return "" if param is None or param.name is None else param.name


SECONDS = Number(min=0.0, min_open=True)
SHARE = Number(min=0.0, max=1.0, min_open=True, max_open=True)


class Duration(click.ParamType[int]):
    """A duration in whole seconds: `60`, `90s`, `1m`, `1h30m`."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        try:
            seconds = int(text) if text.isascii() and text.isdigit() else studies.prometheus.duration_s(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < 1:
            self.fail(f"{text!r} is no time at all", param, ctx)
        return seconds


def _within(noun: str, bounds: Number | Whole) -> str:
    """The bounds in words: `a whole number from 1`, `a finite number above 0 and below 1`."""
    low = None if bounds.min is None else f"{'above' if bounds.min_open else 'from'} {bounds.min:g}"
    high = None if bounds.max is None else f"{'and below' if bounds.max_open else 'to'} {bounds.max:g}"
    return " ".join(filter(None, (noun, low, high)))


F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class File(click.Path):
    """The path of a file, which may not exist yet."""

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
    """The address of a server; empty: none."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value and not re.fullmatch(r"https?://[^/?#\s]+(/\S*)?", value):
            self.fail(f"{value!r}; allowed: the URL of a server, such as http://localhost:8080", param, ctx)
        return str(value)


class Words(click.Choice[str]):
    """A choice among words (a `Literal` or a sequence); the error for a wrong word names the nearest and all."""

    def __init__(self, words: object) -> None:
        super().__init__(get_args(words) or cast("Sequence[str]", words))

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """Empty: the usage, printed above, already names the words."""
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


def declared(kind: type, *names: str) -> Callable[[F], F]:
    """The options that these fields of a dataclass declare (`option`), in this order and with these names."""
    declarations = {field.name: (field, option, flag) for field, option, flag in options_of(kind)}
    return together(*(_declared(*declarations[name]) for name in names))


def _declared(field: Field[Any], option: Option, flag: str) -> Callable[[Any], Any]:
    bounds: dict[str, Any] = {
        "min": option.least if option.above is None else option.above,
        "max": option.most if option.below is None else option.below,
    }
    arguments: dict[str, Any] = {"help": option.help, "metavar": option.metavar}
    kind = re.sub(r"(?:Sequence|tuple)\[(\w+).*\]", r"\1", str(field.type)).removesuffix(" | None")
    if option.words is not None:
        arguments["type"] = Words(option.words)
    elif kind == "bool":
        arguments["is_flag"] = True
    elif kind == "Path":
        arguments["type"] = click.Path(exists=True, dir_okay=False, path_type=Path) if option.exists else NEW_FILE
    elif kind == "int":
        arguments["type"] = Whole(**bounds)
    elif kind == "float":
        arguments["type"] = Number(**bounds, min_open=option.above is not None, max_open=option.below is not None)
    if field.default is MISSING:
        arguments["required"] = True
    else:
        arguments["default"] = field.default or None if isinstance(field.default, tuple) else field.default
        arguments["multiple"] = isinstance(field.default, tuple)
    return click.option(flag, field.name, **arguments)


def taken(kind: type[T], options: dict[str, Any], **further: Any) -> T:
    """A dataclass built from the options that are its fields; they are removed from `options`."""
    names = [field.name for field in fields(kind) if field.name in options]  # type: ignore[arg-type]
    return kind(**{name: options.pop(name) for name in names}, **further)


# ---- the scenario ----


pipeline_argument = click.argument("what", metavar="PIPELINE|FILE")
"""A shipped pipeline's name, a pipeline or scenario file, or a results folder."""


def _policy_option(default: str) -> Callable[[F], F]:
    return click.option(
        "--policy",
        metavar="POLICY",
        help="A name (`ipa policy list`) with parameters, 'ipa alpha=2', a class in a file, my.py:MyPolicy, or an "
        f"autoscaler's manifest, hpa.yaml. Default: {default}.",
    )


policy_option = _policy_option("ipa")
live_policy_option = _policy_option(choices.LIVE_POLICY)


class GoalText(click.ParamType[Any]):
    """A goal as in a scenario file; the outer braces are optional."""

    name = "GOAL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value).strip()
        try:
            goal = studies.parse_value(text if text.startswith("{") else f"{{{text}}}")
        except ScenarioError:
            goal = None
        if not isinstance(goal, Mapping) or None in goal.values():
            self.fail(f"{text!r}; allowed: a goal, such as 'max: accuracy, cores_at_most: 20'", param, ctx)
        return goal


goal_option = click.option(
    "--goal",
    "policy_goal",
    type=GoalText(),
    help="In place of weights: 'max: accuracy, cores_at_most: 20', 'min: cost, accuracy_at_least: 35'; also "
    "late_at_most: 1 %, of any hour.",
)
"""Sets the key `policy.goal`."""


set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set any key of the scenario, such as policy.beta=1. Repeatable.",
)

window_option = click.option(
    "--window",
    metavar="START:END",
    help="Seconds of the load to use; several, with commas, are joined.",
)

scale_option = click.option(
    "--scale", type=Number(min=0.0, min_open=True), help="Multiply the load by this. Default: 1."
)

workload_seed_option = click.option(
    "--seed", type=Whole(min=0), default=1, help="Seed of a synthetic workload. Default: 1."
)

seed_option = click.option("--seed", type=Whole(min=0), help="Seed of every random draw. Default: 1.")

log_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Say how a file is read, such as read.time_unit=ms (docs/traces.md), or scaling=floor. Repeatable.",
)
"""Sets those keys of a scenario that say what a load is."""

load_options = together(
    click.option(
        "--trace",
        metavar="LOAD",
        help="A name (`ipa trace list`) or a file. Default: bursty.",
    ),
    window_option,
    scale_option,
    seed_option,
)
"""The options that each set a key of a scenario's load."""

scenario_options = together(load_options, set_option)
"""The options that each set a key of the scenario."""


def described_load(name: str, assignments: Sequence[str] = (), **options: object) -> Load:
    """The load that a command's argument and options describe. Raises ScenarioError."""
    values = values_of(assignments, options)
    allowed = ("scaling", *(f"read.{key}" for key in ipa.traces.Reading.model_fields))
    for key in assigned(assignments):
        if key not in allowed:
            raise ScenarioError(f"--set {key}: a load has no such key; allowed: {', '.join(allowed)}")
    return studies.load_of(studies.Scenario(pipeline="video", trace=name).with_values(values))


def build_scenario(what: str, assignments: Sequence[str], **options: object) -> Scenario:
    """The scenario that a command's argument and options describe, for a policy to run.

    Values that its pipeline leaves to rules are reported on stderr, unless the command is quiet. Raises ScenarioError
    or ProfileError.
    """
    scenario = described_scenario(what, assignments, **options)
    printing.say_rules(scenario.pipeline)
    printing.say_doubts([scenario])
    return scenario


def build_live_scenario(what: str, assignments: Sequence[str], **options: object) -> Scenario:
    """As `build_scenario`; if neither an option nor a file names a policy, it is that of live mode, with a note."""
    values = values_of(assignments, options)
    printing.say_copies(what)
    scenario = studies.find(what, values, {"policy": choices.LIVE_POLICY})
    if scenario.policy != studies.find(what, values).policy:
        printing.note(f"Policy: {choices.LIVE_POLICY}, the default of live mode; --policy names another")
    printing.say_rules(scenario.pipeline)
    printing.say_doubts([scenario])
    return scenario


def described_scenario(what: str, assignments: Sequence[str] = (), **options: object) -> Scenario:
    """The scenario that a command's argument and options describe. Raises ScenarioError or ProfileError."""
    printing.say_copies(what)
    return studies.find(what, values_of(assignments, options))


def values_of(assignments: Sequence[str], options: Mapping[str, object]) -> dict[str, Any]:
    """Key -> value from options and --set. Raises as `assigned`."""
    values = {name: value for name, value in options.items() if value is not None}
    if (goal := values.pop("policy_goal", None)) is not None:
        values["policy.goal"] = goal
    return values | assigned(assignments)


def assigned(assignments: Sequence[str]) -> dict[str, Any]:
    """Key -> value from --set. Raises ScenarioError if one is not KEY=VALUE."""
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


jobs_option = click.option("--jobs", type=Whole(min=1), help="Runs at a time. Default: one per core.")

on_option = click.option(
    "--on",
    default="local",
    metavar="PLACE",
    help="dask://HOST:PORT runs on an existing Dask cluster. Default: local.",
)


class Required(click.ParamType[Any]):
    """A requirement: a figure and its bound."""

    name = "FIGURE<=NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return studies.many.requirements.parse(value)
        except ScenarioError as error:
            self.fail(str(error), param, ctx)


require_option = click.option(
    "--require",
    "required",
    type=Required(),
    multiple=True,
    help="End with exit code 1 unless the mean over seeds meets it: 'late<=1 %', 'cost<=20', 'p99<=2 s', any "
    "column of the runs. Repeatable.",
)


def check_required(
    required: Sequence[Requirement], runs: Iterable[tuple[str, Sequence[Mapping[str, Any]]]], failed: str = ""
) -> None:
    """End the command with exit code 1 and a line for each requirement that the runs, which are already written, do not
    meet. `runs`: name and summaries by seed; `failed`: a further reason for exit code 1."""
    broken = studies.many.requirements.broken(required, runs) if required else ()
    if lines := [*filter(None, [failed]), *broken]:
        raise click.ClickException("\n".join(lines))


# ---- output ----


@dataclass(frozen=True)
class Results:
    """Where results are written (a folder, a page), and whether they are printed as JSON."""

    out: Path | None = None
    report: Path | None = None
    as_json: bool = False


out_option = click.option("--out", type=FOLDER, help="Write the results to this new or empty folder.")

resumable_out_option = click.option(
    "--out", type=FOLDER, help="Keep every run in this folder; the same command resumes."
)

report_option = click.option("--report", type=NEW_FILE, help="Write an HTML report to this file.")

page_option = click.option("--to", type=NEW_FILE, help="Write an HTML page with plots to this file.")

quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=printing.silence,
    help="No progress and no notes; warnings remain.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")

output_options = together(quiet_option, json_option)
"""The output options of a command that runs something: verbosity and format."""


# ---- live ----


def backend_option(where: str) -> Callable[[F], F]:
    """The option --backend; `where`: what its help says of it."""
    return click.option(
        "--backend",
        type=Words(("loopback", "kubernetes")),
        default="loopback",
        metavar="WHERE",
        help=f"{where}: loopback, on this machine, or kubernetes, on what `ipa live up` deployed. Default: loopback.",
    )
