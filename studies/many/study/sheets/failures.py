"""The runs that failed."""

from __future__ import annotations

from ipa.studies.formatting import NONE
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.sheets.sheet import Sheet


def failures(found: Found) -> Sheet:
    """One row per system or point on a workload in a setting: the seeds that failed, and the first one's error."""
    groups: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for each in found.failures:
        trial = each.trial
        name = trial.pipeline, trial.setting, trial.workload, trial.system, trial.point or NONE
        groups.setdefault(name, []).append((trial.seed, each.error))
    return Sheet(
        "Runs that failed",
        "A system with a failed run is in no other table, nor is a sweep of it; of a sweep, the point is left out. The "
        "same command tries these runs again.",
        ("pipeline", "setting", "workload", "system", "point", "seeds", "error of the first"),
        tuple((*name, ", ".join(str(seed) for seed, _ in failed), failed[0][1]) for name, failed in groups.items()),
        names=7,
    )
