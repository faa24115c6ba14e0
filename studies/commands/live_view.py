"""How a live run looks while it runs: a screen on a terminal, a line every few seconds elsewhere. All on stderr."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isnan
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ipa.policies import Entry, LatencyQuantiles
from ipa.studies.live_runs.load import late_warning

if TYPE_CHECKING:
    from ipa.live.view import StageView, View

LINE_EVERY_S = 5.0
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_SECONDS = 40

Show = Callable[["View"], object]


@contextmanager
def showing(title: str) -> Iterator[Show]:
    """What to call with every view of the run; the screen is gone when the block ends."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    screen = _Screen(title)
    console = Console(stderr=True, highlight=False, emoji=False)
    start = Text(f"{title}: starting the gateway and the replicas ...")
    with Live(start, console=console, auto_refresh=False, transient=True) as live:
        yield lambda view: live.update(screen.drawn(view), refresh=True)


class _Lines:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, view: View) -> None:
        if view.time_s >= self._next_s:
            self._next_s = view.time_s + LINE_EVERY_S - 0.5
            click.echo(line(view), err=True)


def line(view: View) -> str:
    """A view in one line."""
    stages = "  ".join(
        f"{name} {stage.configuration.variant} b{stage.configuration.batch} {_ready(stage)}/"
        f"{stage.configuration.replicas} q{stage.queue_length}"
        for name, stage in view.stages.items()
    )
    return (
        f"{view.time_s:5.0f} s  load {_number(view.load_rps, 0)} rps ({_forecast(view.entry)})  {stages}  "
        f"p50 {_number(view.latency.p50_s, 3)} p99 {_number(view.latency.p99_s, 3)} of {view.sla_s:.2f} s  "
        f"violations {_share(view)}  {_cores(view.cores)}"
    )


def step_line(entry: Entry) -> str:
    """A control step in one line."""
    decided = "  ".join(
        f"{name} {each.variant} b{each.batch} x{each.replicas}" for name, each in entry.decision.configuration.items()
    )
    outcome = entry.outcome
    why = "" if outcome is None or not outcome.reason else f"  ({outcome.reason})"
    return f"step {entry.observation.step}: load {entry.observation.load_rps[-1]:g} rps  {decided}{why}"


def tell(entry: Entry) -> None:
    """Print a control step on stderr."""
    print(step_line(entry), file=sys.stderr, flush=True)


class _Screen:
    """The whole picture, drawn anew every second."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._loads: deque[float] = deque(maxlen=SPARK_SECONDS)

    def drawn(self, view: View) -> Group:
        if not isnan(view.load_rps):
            self._loads.append(view.load_rps)
        head = Text.assemble(
            (self._title, "bold"),
            f"   {_clock(view.time_s)} of {_clock(view.duration_s)}   {view.url}",
        )
        load = Text.assemble(
            "load ",
            (f"{_number(view.load_rps, 0)} rps", "bold"),
            f"  {_forecast(view.entry)}  ",
            (spark(self._loads), "cyan"),
        )
        failed = [
            Text(f"{name}: {', '.join(stage.failed_variants)} cannot start", style="red")
            for name, stage in view.stages.items()
            if stage.failed_variants
        ]
        return Group(head, load, "", self._stages(view), "", *self._service(view), *failed, self._decision(view.entry))

    def _stages(self, view: View) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        for name in ("stage", "variant"):
            table.add_column(name, no_wrap=True)
        for name in ("batch", "ready", "start", "drain", "queue", "busy", "p50 s", "p99 s"):
            table.add_column(name, justify="right", no_wrap=True, min_width=5)
        for name, stage in view.stages.items():
            ready, desired = _ready(stage), stage.configuration.replicas
            states = list(stage.replicas.values())
            table.add_row(
                name,
                stage.configuration.variant,
                str(stage.configuration.batch),
                Text(f"{ready}/{desired}", style="green" if ready >= desired else "yellow"),
                _some(sum(each.starting for each in states)),
                _some(sum(each.draining for each in states)),
                _some(stage.queue_length),
                _some(stage.in_service),
                *_quantiles(stage.latency),
            )
        return table

    @staticmethod
    def _service(view: View) -> tuple[Text, Text]:
        p50_s, p99_s = _quantiles(view.latency)
        late = view.latency.p99_s > view.sla_s
        return (
            Text.assemble(
                "latency p50 ",
                p50_s,
                "  p99 ",
                (p99_s, "bold red" if late else "bold"),
                f"  of {view.sla_s:.2f} s SLA   violations ",
                (_share(view), "bold red" if view.violations else "bold"),
                f" of {view.ended}",
            ),
            Text.assemble("cost ", (_cores(view.cores), "bold"), f" now, {view.mean_cores:.2f} on average"),
        )

    @staticmethod
    def _decision(entry: Entry | None) -> Text:
        if entry is None:
            return Text("no decision yet", style="dim")
        decision = entry.decision
        parts = [f"step {entry.observation.step} at {_clock(entry.observation.time_s)}: {decision.rung}"]
        if decision.binding not in (None, "none"):
            parts.append(f"{decision.binding} binds")
        parts += decision.notes
        if entry.outcome is not None and entry.outcome.reason:
            parts.append(entry.outcome.reason)
        return Text("; ".join(parts), style="dim" if decision.feasible else "yellow")


def spark(values: deque[float]) -> str:
    """The last values as a row of bars, from 0 to the greatest."""
    top = max(values, default=0.0)
    if top <= 0.0:
        return ""
    return "".join(SPARKS[min(int(value / top * len(SPARKS)), len(SPARKS) - 1)] for value in values)


def warn(live: Mapping[str, Any]) -> None:
    """Say on stderr what makes a live run's figures other than they seem."""
    said = [late_warning(live, live["requests_sent"])]
    if live["decisions_held"]:
        said.append(
            f"Warning: {live['decisions_held']} decisions held the configuration: the policy was late or failed; "
            "see the notes in the journal"
        )
    if live["records_lost"]:
        said.append(f"Warning: the gateway had no record of {live['records_lost']} requests that it answered")
    if live["foreign_requests"]:
        said.append(f"Warning: {live['foreign_requests']} requests of others came too; they are in no table")
    said += [f"Warning: {law}" for law in live["broken_laws"]]
    for text in filter(None, said):
        click.echo(text, err=True)


def _ready(stage: StageView) -> int:
    counts = stage.replicas.get(stage.configuration.variant)
    return 0 if counts is None else counts.ready


def _forecast(entry: Entry | None) -> str:
    if entry is None or entry.decision.forecast_rps is None:
        return "no forecast"
    planned = entry.decision.planned_load_rps
    return f"forecast {entry.decision.forecast_rps:.1f}" + ("" if planned is None else f", planned {planned:g}")


def _quantiles(latency: LatencyQuantiles) -> tuple[str, str]:
    return _number(latency.p50_s, 3), _number(latency.p99_s, 3)


def _share(view: View) -> str:
    return f"{100 * view.violations / view.ended:.1f} %" if view.ended else "-"


def _number(value: float, digits: int) -> str:
    return "-" if isnan(value) else f"{value:.{digits}f}"


def _cores(count: int) -> str:
    return f"{count} core" if count == 1 else f"{count} cores"


def _some(count: int) -> str:
    return str(count) if count else "-"


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(int(max(time_s, 0.0)), 60)
    return f"{minutes}:{seconds:02}"
