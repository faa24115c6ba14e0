"""The result of a validation: live runs and simulations, compared within the windows that are judged."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ipa.studies.displayed import Displayed
from ipa.studies.runs import Prepared, Run
from ipa.studies.runs.results import StoredRun
from ipa.studies.scenario import Scenario
from ipa.studies.validation.decisions import Agreement, replicas_alike_percent
from ipa.studies.validation.experiment import Experiment
from ipa.studies.validation.figures import (
    JUDGED_UP_TO,
    LIMITS,
    FloatArray,
    JudgedFigure,
    Tables,
    Windows,
    Worlds,
    busiest,
    compare_worlds,
    metrics,
    plain,
)
from ipa.studies.validation.overheads import Overheads

if TYPE_CHECKING:
    import pandas as pd

CALIBRATION = "calibration"
"""The name of the live run in which overheads are measured."""

LATENESS_P99_S = 0.010
"""The load counts as that of the trace if 99 % of the requests are sent within this time of when they are due [s]."""

BUSY_SHARE = 0.80
"""The share of processor time above which processes often wait for a processor."""

OVERHEAD_P99_S = 0.050
"""The dispatch overhead that one batch in a hundred may exceed [s]; more: something else delayed replicas."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of a live run; None: unknown.

    `lateness_p99_s`: of sending requests, after they were due. `overhead_p99_s`: the dispatch overhead of batches.
    `busy_share`: of the machine's processor time during the run, by all processes. `processors`: their number.
    `faults`: what else went wrong, in words.
    """

    lateness_p99_s: float | None
    overhead_p99_s: float | None
    busy_share: float | None
    processors: int
    faults: tuple[str, ...] = ()

    def flags(self) -> tuple[str, ...]:
        """What makes the run doubtful, in words."""
        return (*self.delays(), *self.faults)

    def delays(self) -> tuple[str, ...]:
        """What shows that the machine had too little time for the run, in words."""
        problems = []
        for value, most, words in (
            (self.lateness_p99_s, LATENESS_P99_S, "requests were sent late: p99 {:.0f} ms, above {:.0f}"),
            (self.overhead_p99_s, OVERHEAD_P99_S, "batches were held up: overhead p99 {:.0f} ms, above {:.0f}"),
        ):
            if value is not None and value > most:
                problems.append(words.format(1e3 * value, 1e3 * most))
        if self.busy_share is not None and self.busy_share > BUSY_SHARE:
            problems.append(f"the machine was {100 * self.busy_share:.0f} % busy, above {100 * BUSY_SHARE:.0f}")
        return tuple(problems)

    def words(self) -> str:
        """The conditions, in one line."""
        figures = {
            "requests sent late by p99 {:.1f} ms": (self.lateness_p99_s, 1e3),
            "batches held up by p99 {:.1f} ms": (self.overhead_p99_s, 1e3),
            f"{{:.0f}} % of {self.processors} processors busy": (self.busy_share, 100.0),
        }
        return ", ".join(
            words.format(factor * value) for words, (value, factor) in figures.items() if value is not None
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "faults": list(self.faults), "flags": list(self.flags())}


SCHEMA_VERSION = 1

FEWEST_JUDGED = 0.5
"""The least share of the windows that should be judged."""

CLOSED_LOOP_PERCENT = 90.0
"""The percentage of decisions that must be equal in closed loop; on the same observations all must be."""


@dataclass(frozen=True)
class StoredRepeat:
    """A live run on disk: its results, and the machine's processor use meanwhile."""

    stored: StoredRun
    machine: dict[str, Any]


def live_name(repeat: int) -> str:
    """The name of a repeat, counted from 1."""
    return f"live-{repeat}"


@dataclass(frozen=True)
class Repeat:
    """One live run with its measurements; `refused`: how many of its decisions were refused.

    `closed_loop` compares with the common simulation, in which all requests are equally late.
    """

    run: StoredRepeat
    overheads: Overheads
    conditions: Conditions
    same_observations: Agreement
    closed_loop: Agreement
    refused: int

    @property
    def tables(self) -> Tables:
        """Its tables."""
        return self.run.stored.tables

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "conditions": self.conditions.as_dict(),
            "overheads": plain(self.overheads),
            "decisions_on_same_observations": vars(self.same_observations),
            "decisions_in_closed_loop": vars(self.closed_loop),
            "decisions_refused": self.refused,
            "summary": dict(self.run.stored.summary),
        }


@dataclass(frozen=True, repr=False)
class Validation(Displayed):
    """Everything that was found; `calibration` is the live run on other seconds that gave the overheads."""

    PAGE = "validation"

    experiment: Experiment
    prepared: Prepared
    calibration: Repeat
    repeats: tuple[Repeat, ...]
    simulated: Run
    worlds: Worlds

    @property
    def scenario(self) -> Scenario:
        """What was compared, as it ran live."""
        return self.experiment.compared

    @property
    def stages(self) -> tuple[str, ...]:
        """The pipeline's stages."""
        return tuple(stage.name for stage in self.prepared.pipeline.stages)

    @property
    def languages(self) -> tuple[str, ...]:
        """Those of them that are of language models."""
        return tuple(stage.name for stage in self.prepared.pipeline.stages if stage.tokens is not None)

    @cached_property
    def windows(self) -> Windows:
        """All windows of the run, one per control interval."""
        return Windows.all_of(self.prepared.trace.duration_s, self.scenario.interval_s)

    @cached_property
    def busy(self) -> FloatArray:
        """The utilisation of the busiest stage, live, in each window."""
        return busiest(self.worlds.live, self.windows)

    @cached_property
    def judged(self) -> Windows:
        """The windows that verdicts are about: those not above `JUDGED_UP_TO`."""
        return self.windows.only(self.busy <= JUDGED_UP_TO)

    @cached_property
    def above(self) -> Windows:
        """The other windows, nearer to saturation."""
        return self.windows.only(self.busy > JUDGED_UP_TO)

    @cached_property
    def drops(self) -> tuple[float, float, float]:
        """How many requests of a run were dropped: live, simulated, and simulated with the live decisions."""
        worlds = self.worlds
        live, simulated, open_loop = (
            sum(int((tables["requests"]["outcome"] == "dropped").sum()) for tables in runs) / len(runs)
            for runs in (worlds.live, [worlds.simulated], worlds.open_loop)
        )
        return live, simulated, open_loop

    @cached_property
    def rows(self) -> list[JudgedFigure]:
        """The comparison that verdicts are about."""
        return self.compared(self.judged)

    def compared(self, windows: Windows) -> list[JudgedFigure]:
        """Live against simulated within some windows."""
        judged = metrics(self.stages, LIMITS[self.experiment.backend], self.languages)
        return compare_worlds(self.worlds, windows, judged, self.prepared.sla_s, self.scenario.price_per_core)

    @property
    def same_observations(self) -> Agreement:
        """The decisions on the same observations, of all repeats."""
        return _sum(repeat.same_observations for repeat in self.repeats)

    @property
    def closed_loop(self) -> Agreement:
        """The decisions in closed loop, of all repeats."""
        return _sum(repeat.closed_loop for repeat in self.repeats)

    @property
    def refused(self) -> int:
        """How many live decisions were refused, over all repeats; besides, only `same_observations` counts these."""
        return sum(repeat.refused for repeat in self.repeats)

    @cached_property
    def replicas_alike_percent(self) -> dict[str, float]:
        """Stage -> the share of the time with as many replicas ready."""
        live = [tables["replicas"] for tables in self.worlds.live]
        return replicas_alike_percent(live, self.simulated.tables["replicas"], self.prepared.trace.duration_s)

    @property
    def flags(self) -> list[str]:
        """What makes the result doubtful, in words."""
        named = {CALIBRATION: self.calibration} | {
            live_name(number): repeat for number, repeat in enumerate(self.repeats, start=1)
        }
        flags = [f"{name}: {flag}" for name, repeat in named.items() for flag in repeat.conditions.flags()]
        overheads = self.calibration.overheads
        unseen = [key for key in Overheads.KEYS if getattr(overheads, key).count == 0]
        if len(self.stages) == 1 and "hop_s" in unseen:
            unseen.remove("hop_s")
        if len(self.languages) == len(self.stages):
            unseen.remove("dispatch_overhead_s")
        if unseen:
            flags.append(f"{CALIBRATION}: did not show {', '.join(unseen)}, taken as 0")
        judged, windows = self.judged.counted.values()
        if judged < FEWEST_JUDGED * windows:
            flags.append(f"only {judged} of {windows} windows are at or below {100 * JUDGED_UP_TO:g} % utilisation")
        return flags

    @property
    def passed(self) -> bool:
        """Whether every verdict is good: of the judged figures, and of the decisions."""
        return (
            bool(self.judged.chosen.any())
            and all(row.passed is not False for row in self.rows)
            and self.same_observations.percent == 100.0
            and not self.closed_loop.percent < CLOSED_LOOP_PERCENT
        )

    @property
    def not_judged(self) -> str:
        """Why the simulator can be said neither to agree nor to be off, and what to do; empty if it can.

        Decisions on the same observation are equal on any machine.
        """
        if self.passed or self.same_observations.percent < 100.0:
            return ""
        if any(repeat.conditions.delays() for repeat in (self.calibration, *self.repeats)):
            return (
                "the machine was busy; end what else runs there, or take less load (--scale), and compare again with a "
                "new folder"
            )
        if not self.judged.chosen.any():
            return (
                f"no window was at or below {100 * JUDGED_UP_TO:g} % utilisation; take less load (--scale) or more "
                "replicas, and compare again with a new folder"
            )
        return ""

    @property
    def table(self) -> pd.DataFrame:
        """One row per figure compared, of the pipeline and of each stage: live, simulated, error, verdict."""
        import pandas as pd

        return pd.DataFrame([row.as_dict() for row in self.rows])

    @property
    def title(self) -> str:
        """What was compared, in one line."""
        summary, repeats = self.simulated.summary, len(self.repeats)
        return (
            f"{summary['pipeline']} on {summary['trace']}, seconds {seconds(self.scenario.window)}, "
            f"policy {summary['policy']}, seed {summary['seed']}: {repeats} live run{'s' if repeats > 1 else ''} "
            f"({self.experiment.reality}) against the simulator"
        )

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        if self.passed:
            doubts = len(self.flags)
            doubtful = f"; {doubts} {'warning' if doubts == 1 else 'warnings'}" if doubts else ""
            return f"the simulator agrees with the live runs in all that is judged{doubtful}"
        if why := self.not_judged:
            return f"not judged: {why}"
        off = [row.metric.title for row in self.rows if row.passed is False]
        if self.same_observations.percent < 100.0:
            off.append("decisions on the same observation")
        if self.closed_loop.percent < CLOSED_LOOP_PERCENT:
            off.append("decisions in closed loop")
        return f"off: {', '.join(off)}"

    def __repr__(self) -> str:
        return "\n  ".join(["Validation", *self.lines()])

    def lines(self) -> Iterator[str]:
        """What was compared, the verdict and what to know of it, in lines of text."""
        yield self.title
        yield f"Verdict: {self.verdict}"
        yield from self.flags

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what `validation.json` holds."""
        summary = self.simulated.summary
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "validation",
            "backend": self.experiment.backend,
            "source": self.experiment.source,
            **{key: summary[key] for key in ("pipeline", "policy", "trace", "seed", "duration_s", "sla_s")},
            "compared_window": [list(pair) for pair in self.scenario.window or ()],
            "calibration_window": [list(pair) for pair in self.experiment.calibration.window or ()],
            "passed": self.passed,
            "verdict": self.verdict,
            "flags": self.flags,
            "overheads_s": self.calibration.overheads.values(),
            "decisions": {
                "on_same_observations": _agreement(self.same_observations, 100.0),
                "in_closed_loop": _agreement(self.closed_loop, CLOSED_LOOP_PERCENT),
                "refused": {"count": self.refused, "total": self.same_observations.total},
            },
            "judged": {"up_to_utilisation": JUDGED_UP_TO, **_part(self.judged, self.rows)},
            "all": _part(self.windows, self.compared(self.windows)),
            "above": _part(self.above, self.compared(self.above)),
            "drops": dict(zip(("live", "simulated", "open_loop"), self.drops, strict=True)),
            "utilisation": plain(self.busy.tolist()),
            "replicas_alike_percent": self.replicas_alike_percent,
            "calibration": self.calibration.as_dict(),
            "repeats": [repeat.as_dict() for repeat in self.repeats],
            "simulated": {key: value for key, value in summary.items() if key != "wall_s"},
            "machine": {
                "system": platform.platform(),
                "processors": os.cpu_count(),
                "python": platform.python_version(),
            },
        }


def seconds(windows: Sequence[tuple[float, float]] | None) -> str:
    """Windows as the command line has them."""
    return ",".join(f"{start_s:g}:{end_s:g}" for start_s, end_s in windows or ())


def _sum(agreements: Iterable[Agreement]) -> Agreement:
    return sum(agreements, Agreement(0, 0))


def _agreement(agreement: Agreement, wanted_percent: float) -> dict[str, Any]:
    return {**vars(agreement), "percent": plain(agreement.percent), "wanted_percent": wanted_percent}


def _part(windows: Windows, rows: Sequence[JudgedFigure]) -> dict[str, Any]:
    return {**windows.counted, "rows": [row.as_dict() for row in rows]}
