"""What a validation found: live runs and simulations, compared within the windows that verdicts are about."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ipa.studies.runs import Prepared, Run
from ipa.studies.scenario import Scenario
from ipa.studies.validation.agreement import Agreement, replicas_alike_percent
from ipa.studies.validation.calibration import Overheads
from ipa.studies.validation.conditions import Conditions
from ipa.studies.validation.experiment import Experiment
from ipa.studies.validation.folder import CALIBRATION, KeptRun, live_name
from ipa.studies.validation.measures import LIMITS, Tables, metrics
from ipa.studies.validation.rollouts import Took, compare_rollouts
from ipa.studies.validation.verdicts import Row, Worlds, compare_worlds, plain
from ipa.studies.validation.windows import JUDGED_UP_TO, FloatArray, Windows, busiest, by_band

SCHEMA_VERSION = 1

FEWEST_JUDGED = 0.5
"""The least share of the windows that verdicts should be about."""

CLOSED_LOOP_PERCENT = 90.0
"""The share of decisions that must be equal in closed loop; on the same observation all must be."""


@dataclass(frozen=True)
class Repeat:
    """One live run with what was measured in it; `refused`: how many of its decisions were not put in force.

    `closed_loop` compares with the one simulation, in which all requests come equally late; `as_they_came` with one of
    the run's own requests, each of which comes as late as it did live.
    """

    run: KeptRun
    overheads: Overheads
    conditions: Conditions
    same_observations: Agreement
    closed_loop: Agreement
    as_they_came: Agreement
    refused: int

    @property
    def tables(self) -> Tables:
        """Its tables."""
        return self.run.stored.tables


@dataclass(frozen=True)
class Other:
    """The same simulated with interference where the scenario has none, or without where it has; the overheads that
    were measured likewise."""

    simulated: Run
    worlds: Worlds
    overheads: Overheads


@dataclass(frozen=True)
class Validation:
    """Everything that was found; `calibration` is the live run on other seconds that gave the overheads.

    `other` is there where the pipeline's interference has been measured.
    """

    experiment: Experiment
    prepared: Prepared
    calibration: Repeat
    repeats: tuple[Repeat, ...]
    simulated: Run
    worlds: Worlds
    other: Other | None = None

    @property
    def scenario(self) -> Scenario:
        """What was compared, as it ran live."""
        return self.experiment.compared

    @property
    def stages(self) -> tuple[str, ...]:
        """The pipeline's stages."""
        return tuple(stage.name for stage in self.prepared.pipeline.stages)

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
    def rows(self) -> list[Row]:
        """The comparison that verdicts are about."""
        return self.compared(self.judged)

    @cached_property
    def bands(self) -> dict[str, tuple[Windows, list[Row]]]:
        """The comparison by band of utilisation; bands that no window lies in are left out."""
        found = by_band(self.busy, self.windows)
        return {name: (chosen, self.compared(chosen)) for name, chosen in found.items() if chosen.chosen.any()}

    @cached_property
    def by_interference(self) -> dict[bool, list[Row]]:
        """The comparison without (False) and with interference; empty where it has not been measured."""
        if self.other is None:
            return {}
        is_on = self.scenario.interference == "measured"
        both = {is_on: self.worlds, not is_on: self.other.worlds}
        return {on: self.compared(self.judged, both[on]) for on in (False, True)}

    def compared(self, windows: Windows, worlds: Worlds | None = None) -> list[Row]:
        """Live against simulated within some windows; `worlds`: others than those that verdicts are about."""
        judged = metrics(self.stages, LIMITS[self.experiment.backend])
        return compare_worlds(worlds or self.worlds, windows, judged, self.prepared.sla_s, self.scenario.price_per_core)

    @cached_property
    def rollouts(self) -> list[Took]:
        """How long start-ups, rollouts and stops took, by stage."""
        return compare_rollouts(self.worlds.live, self.worlds.open_loop, self.stages)

    @property
    def same_observations(self) -> Agreement:
        """The decisions on the same observations, of all repeats."""
        return sum((repeat.same_observations for repeat in self.repeats), Agreement(0, 0))

    @property
    def closed_loop(self) -> Agreement:
        """The decisions in closed loop, of all repeats."""
        return sum((repeat.closed_loop for repeat in self.repeats), Agreement(0, 0))

    @property
    def as_they_came(self) -> Agreement:
        """The same where each request comes as late as it did live: not judged, it says how much lateness explains."""
        return sum((repeat.as_they_came for repeat in self.repeats), Agreement(0, 0))

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
        found = [f"{name}: {flag}" for name, repeat in named.items() for flag in repeat.conditions.flags()]
        overheads = self.calibration.overheads
        unseen = [key for key in Overheads.KEYS if getattr(overheads, key).count == 0]
        if len(self.stages) == 1 and "hop_s" in unseen:
            unseen.remove("hop_s")
        if unseen:
            found.append(f"{CALIBRATION}: did not show {', '.join(unseen)}, taken as 0")
        judged, windows = int(self.judged.chosen.sum()), len(self.judged.chosen)
        if judged < FEWEST_JUDGED * windows:
            found.append(f"only {judged} of {windows} windows are at or below {100 * JUDGED_UP_TO:g} % utilisation")
        return found

    @property
    def passed(self) -> bool:
        """Whether every verdict is good: of the judged figures, and of the decisions."""
        return (
            bool(self.judged.chosen.any())
            and all(row.passed is not False for row in self.rows)
            and self.same_observations.percent == 100.0
            and not self.closed_loop.percent < CLOSED_LOOP_PERCENT
        )

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
            "flags": self.flags,
            "overheads_s": self.calibration.overheads.values(),
            "decisions": {
                "on_same_observations": _agreement(self.same_observations, 100.0),
                "in_closed_loop": _agreement(self.closed_loop, CLOSED_LOOP_PERCENT),
                "as_requests_came": {**vars(self.as_they_came), "percent": plain(self.as_they_came.percent)},
                "refused": {"count": self.refused, "total": self.same_observations.total},
            },
            "judged": {
                "up_to_utilisation": JUDGED_UP_TO,
                **_counted(self.judged),
                "rows": [row.as_dict() for row in self.rows],
            },
            "all": {**_counted(self.windows), "rows": [row.as_dict() for row in self.compared(self.windows)]},
            "bands": [
                {"band": name, **_counted(chosen), "rows": [row.as_dict() for row in rows]}
                for name, (chosen, rows) in self.bands.items()
            ],
            "above": {**_counted(self.above), "rows": [row.as_dict() for row in self.compared(self.above)]},
            "interference": {
                "with" if on else "without": [row.as_dict() for row in rows]
                for on, rows in self.by_interference.items()
            },
            "drops": dict(zip(("live", "simulated", "open_loop"), self.drops, strict=True)),
            "utilisation": [plain(float(value)) for value in self.busy],
            "replicas_alike_percent": self.replicas_alike_percent,
            "rollouts": [took.as_dict() for took in self.rollouts],
            "calibration": _repeat(self.calibration),
            "repeats": [_repeat(repeat) for repeat in self.repeats],
            "simulated": {key: value for key, value in summary.items() if key != "wall_s"},
            "machine": {
                "system": platform.platform(),
                "processors": os.cpu_count(),
                "python": platform.python_version(),
            },
        }


def _agreement(found: Agreement, wanted_percent: float) -> dict[str, Any]:
    return {**vars(found), "percent": plain(found.percent), "wanted_percent": wanted_percent}


def _counted(windows: Windows) -> dict[str, int]:
    return {"windows": int(windows.chosen.sum()), "of_windows": len(windows.chosen)}


def _repeat(repeat: Repeat) -> dict[str, Any]:
    return {
        "conditions": repeat.conditions.as_dict(),
        "overheads": repeat.overheads.as_dict(),
        "decisions_on_same_observations": vars(repeat.same_observations),
        "decisions_in_closed_loop": vars(repeat.closed_loop),
        "decisions_as_requests_came": vars(repeat.as_they_came),
        "decisions_refused": repeat.refused,
        "summary": dict(repeat.run.stored.summary),
    }
