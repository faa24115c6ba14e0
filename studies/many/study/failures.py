"""Runs that failed, and what is left of a study without them: the systems all of whose runs have finished.

A system that lacks a run is left out of all tables, since a mean over the loads that it did finish would stand beside
means over all of them. Of a sweep only the point is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ipa.studies.many import Store
from ipa.studies.many.study.plan import Trial
from ipa.studies.many.study.schema import Headline, Study


@dataclass(frozen=True)
class Failure:
    """A run that failed, and why."""

    trial: Trial
    error: str

    def as_dict(self) -> dict[str, Any]:
        """The names of the run and the error, JSON-able."""
        names = ("pipeline", "setting", "workload", "system", "point", "seed")
        return {**{name: getattr(self.trial, name) for name in names}, "error": self.error}


def failures(trials: Sequence[Trial], store: Store) -> tuple[Failure, ...]:
    """Those of the runs that have failed and never finished."""
    errors = store.errors()
    return tuple(Failure(trial, errors[trial.key]) for trial in trials if trial.key in errors)


def finished(study: Study, trials: Sequence[Trial], failed: Sequence[Failure]) -> tuple[Study, tuple[Trial, ...]]:
    """The study without its systems and points that have failed, and its runs; no run where no system is left."""
    names = {each.trial.system for each in failed if not each.trial.point}
    points = {(each.trial.system, each.trial.point) for each in failed}
    systems = {name: system for name, system in study.systems.items() if name not in names}
    sweeps = {name: sweep for name, sweep in study.sweeps.items() if sweep.of in systems}
    there = {*systems, *sweeps}
    rest = replace(
        study,
        systems=systems,
        sweeps=sweeps,
        headline=_headline(study.headline, there),
        bound=study.bound if study.bound in systems else None,
    )
    left = (trial for trial in trials if trial.system in there and (trial.system, trial.point) not in points)
    return rest, tuple(left) if systems else ()


def _headline(headline: Headline | None, there: set[str]) -> Headline | None:
    if headline is None or headline.curve not in there:
        return None
    kept = {key: [name for name in getattr(headline, key) if name in there] for key in ("gain_over", "saving_over")}
    return headline.model_copy(update=kept)
