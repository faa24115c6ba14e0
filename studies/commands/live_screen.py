"""A live run as a screen."""

from __future__ import annotations

from collections import deque
from math import isnan
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ipa.studies.commands.live_line import clock, cores, forecast, number, quantiles, ready, share

if TYPE_CHECKING:
    from ipa.live import View
    from ipa.policies import Entry

SPARKS = "▁▂▃▄▅▆▇█"
SPARK_SECONDS = 40


class Screen:
    """The whole screen, redrawn every second."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._loads: deque[float] = deque(maxlen=SPARK_SECONDS)

    def drawn(self, view: View) -> Group:
        if not isnan(view.load_rps):
            self._loads.append(view.load_rps)
        head = Text.assemble(
            (self._title, "bold"),
            f"   {clock(view.time_s)} of {clock(view.duration_s)}   {view.url}",
        )
        load = Text.assemble(
            "load ",
            (f"{number(view.load_rps, 0)} rps", "bold"),
            f"  {forecast(view.entry)}  ",
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
            serving, decided = ready(stage), stage.configuration.replicas
            states = list(stage.replicas.values())
            table.add_row(
                name,
                stage.configuration.variant,
                str(stage.configuration.batch),
                Text(f"{serving}/{decided}", style="green" if serving >= decided else "yellow"),
                _some(sum(counts.starting for counts in states)),
                _some(sum(counts.draining for counts in states)),
                _some(stage.queue_length),
                _some(stage.in_service),
                *quantiles(stage.latency),
            )
        return table

    @staticmethod
    def _service(view: View) -> tuple[Text, Text]:
        p50_s, p99_s = quantiles(view.latency)
        late = view.latency.p99_s > view.sla_s
        return (
            Text.assemble(
                "latency p50 ",
                p50_s,
                "  p99 ",
                (p99_s, "bold red" if late else "bold"),
                f"  of {view.sla_s:.2f} s SLA   violations ",
                (share(view), "bold red" if view.violations else "bold"),
                f" of {view.ended}",
            ),
            Text.assemble("cost ", (cores(view.cores), "bold"), f" now, {view.mean_cores:.2f} on average"),
        )

    @staticmethod
    def _decision(entry: Entry | None) -> Text:
        if entry is None:
            return Text("no decision yet", style="dim")
        decision = entry.decision
        parts = [f"step {entry.observation.step} at {clock(entry.observation.time_s)}: {decision.rung}"]
        if decision.binding not in (None, "none"):
            parts.append(f"{decision.binding} binds")
        parts += decision.notes
        if entry.outcome is not None and entry.outcome.reason:
            parts.append(entry.outcome.reason)
        return Text("; ".join(parts), style="dim" if decision.feasible else "yellow")


def spark(values: deque[float]) -> str:
    """The last values as a row of bars, scaled from 0 to their maximum."""
    top = max(values, default=0.0)
    if top <= 0.0:
        return ""
    return "".join(SPARKS[min(int(value / top * len(SPARKS)), len(SPARKS) - 1)] for value in values)


def _some(count: int) -> str:
    return str(count) if count else "-"
