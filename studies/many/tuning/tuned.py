"""The findings of a tuning: the best settings, their gains over the defaults, and the scenario to run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.studies.intervals import HELD, Estimate
from ipa.studies.many.tuning.aims import Wishes
from ipa.studies.many.tuning.cases import PAST, Case, TuningCases
from ipa.studies.many.tuning.gains import Columns, Gain
from ipa.studies.many.tuning.search import TriedSetting
from ipa.studies.many.tuning.space import Space, Values
from ipa.studies.runs.results import (
    MANIFEST,
    SCHEMA_VERSION,
    read_manifest,
    versions,
    write_json,
    write_table,
    write_text,
)
from ipa.studies.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    import pandas as pd

DIGITS = {"cost_mean_cores": 3, "planned_cost_mean_cores": 3, "dropped": 1, "changes": 1, "infeasible_decisions": 1}
"""The decimals of outcomes in text; 2 for other PAS, 3 for the rest."""


@dataclass(frozen=True)
class Best:
    """A setting with its scenario, and its gains on the windows for training (`train`) and on others (`test`).

    `keeps_limits`: on average over the training windows, and over the test windows.
    """

    number: int | None
    values: Values
    scenario: Scenario
    train: tuple[Gain, ...]
    test: tuple[Gain, ...]
    keeps_limits: tuple[bool, bool]


@dataclass(frozen=True)
class Tuned:
    """The findings of a tuning.

    `best`: the Pareto front over all aims (one setting if there is one aim), the best in the first aim first. If no
    setting keeps the limits, it is the one that breaks them least. `number` None: the defaults, if nothing better was
    found. `runs`: the outcomes of all training and test runs by setting, None for the defaults.
    """

    defaults: Scenario
    wishes: Wishes
    space: Space
    cases: TuningCases
    settings: tuple[TriedSetting, ...]
    best: tuple[Best, ...]
    runs: tuple[tuple[int | None, str, Sequence[Case], Columns], ...]

    @property
    def scenario(self) -> Scenario:
        """The scenario of the best setting, ready to run."""
        return self.best[0].scenario

    @property
    def table(self) -> pd.DataFrame:
        """One row for each run: `trial` (-1: the defaults), `part`, the values of the varied keys, `window_start_s` and
        `window_end_s` (NaN: the whole load), `seed`, the outcomes, and `error`. A failed setting has one row with an
        error and no outcomes."""
        import pandas as pd

        values = {setting.number: setting.values for setting in self.settings}
        rows: list[dict[str, Any]] = []
        for number, part, cases, columns in self.runs:
            count = len(next(iter(columns.values())))
            for place, case in enumerate(cases[:count]):
                rows.append(
                    {
                        **self._names(number, part, {} if number is None else values[number], case),
                        **{name: float(column[place]) for name, column in columns.items()},
                        "error": "",
                    }
                )
        rows += [
            {**self._names(setting.number, "train", setting.values, None), "error": setting.error}
            for setting in self.settings
            if setting.error is not None
        ]
        return pd.DataFrame(rows)

    def _names(self, number: int | None, part: str, values: Values, case: Case | None) -> dict[str, Any]:
        start_s, end_s = (float("nan"),) * 2 if case is None or case.window is None else case.window
        return {
            "trial": -1 if number is None else number,
            "part": part,
            **{key: _cell(values.get(key)) for key in self.space},
            "window_start_s": start_s,
            "window_end_s": end_s,
            "seed": -1 if case is None else case.seed,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything but the runs, JSON-able."""
        return {
            "aims": [str(aim) for aim in self.wishes.aims],
            "limits": [str(limit) for limit in self.wishes.limits],
            "loads": self.cases.words,
            "settings": len(self.settings),
            "dropped_early": sum(setting.is_dropped for setting in self.settings),
            "failed": sum(setting.error is not None for setting in self.settings),
            "best": [
                {
                    "trial": setting.number,
                    "values": dict(setting.values),
                    "keeps_limits": {"train": setting.keeps_limits[0], "test": setting.keeps_limits[1]},
                    "train": [_gain_as_dict(gain) for gain in setting.train],
                    "test": [_gain_as_dict(gain) for gain in setting.test],
                    "scenario": setting.scenario.as_dict(),
                }
                for setting in self.best
            ],
        }


def lines(tuned: Tuned) -> Iterator[str]:
    """The findings in lines of text: what was done, then each of the best settings compared with the defaults."""
    aims = " and ".join(map(str, tuned.wishes.aims))
    limits = ", ".join(map(str, tuned.wishes.limits))
    yield f"{tuned.defaults.pipeline} on {tuned.defaults.trace}: {aims}{f' with {limits}' if limits else ''}"
    dropped, failed = (
        sum(setting.is_dropped for setting in tuned.settings),
        sum(setting.error is not None for setting in tuned.settings),
    )
    tried = f"{len(tuned.settings)} settings tried, {dropped} of them pruned early"
    yield f"{tried}{f', {failed} failed' if failed else ''}; {tuned.cases.words}"
    if tuned.cases.train[0].window is not None:
        yield PAST
    yield f"95 % intervals of changes. {HELD.format('windows')}"
    for place, best in enumerate(tuned.best):
        yield ""
        yield from _lines_of(tuned, best, place)


def _lines_of(tuned: Tuned, best: Best, place: int) -> Iterator[str]:
    if best.number is None:
        yield "The defaults: no setting was better in training"
    else:
        name = f"Setting {best.number}" if len(tuned.best) == 1 else f"{place + 1}. Setting {best.number}"
        yield f"{name}: {in_words(best.values)}"
    for part, keeps in zip(("train", "test"), best.keeps_limits, strict=True):
        if not keeps:
            yield f"  breaks a limit in {'training' if part == 'train' else 'the test'}"
    widths = (max(len(gain.outcome) for gain in best.test), 9, 9)
    for title, gains in (("training", best.train), ("test", best.test)):
        yield f"  {title:<{widths[0]}}  {'defaults':>{widths[1]}}  {'tuned':>{widths[2]}}  change (95 %)"
        for gain in gains:
            yield (
                f"  {gain.outcome:<{widths[0]}}  {number(gain.outcome, gain.defaults):>{widths[1]}}  "
                f"{number(gain.outcome, gain.tuned):>{widths[2]}}  {change(gain)}"
            ).rstrip()


def number(outcome: str, value: float) -> str:
    """An outcome as text; rates in percent."""
    if isnan(value):
        return "-"
    if outcome.endswith("_rate"):
        return f"{100 * value:.3f} %"
    return f"{value:.{DIGITS.get(outcome, 2 if outcome.endswith('pas_mean') else 3)}f}"


def change(gain: Gain) -> str:
    """The change of an outcome with its interval, in percent of the defaults or else absolute (a rate in points)."""
    if gain.percent is not None:
        mean, low, high = gain.percent.mean, gain.percent.low, gain.percent.high
        return f"{mean:+.1f} %" + ("" if isnan(low) else f" [{low:+.1f}, {high:+.1f}]")
    estimate = gain.change
    if isnan(estimate.mean):
        return ""
    factor, unit = (100.0, " points") if gain.outcome.endswith("_rate") else (1.0, "")
    mean, low, high = (factor * end for end in (estimate.mean, estimate.low, estimate.high))
    return f"{mean:+.3g}{unit}" + ("" if isnan(low) else f" [{low:+.3g}, {high:+.3g}]")


def as_file(tuned: Tuned, best: Best) -> str:
    """A best setting as a scenario file; comments above give the findings."""
    import yaml

    head = "".join(f"# {line}".rstrip() + "\n" for line in lines(tuned))
    keys = best.scenario.model_dump(mode="json", exclude_defaults=True)
    content = {"schema_version": 1, "kind": "scenario", **keys}
    return f"{head}{yaml.safe_dump(content, sort_keys=False, width=120)}"


def _gain_as_dict(gain: Gain) -> dict[str, Any]:
    def bounds(estimate: Estimate | None) -> dict[str, float | None] | None:
        if estimate is None:
            return None
        return {name: _known(getattr(estimate, name)) for name in ("mean", "low", "high")}

    return {
        "outcome": gain.outcome,
        "defaults": _known(gain.defaults),
        "tuned": _known(gain.tuned),
        "change": bounds(gain.change),
        "change_percent": bounds(gain.percent),
    }


def _known(value: float) -> float | None:
    return None if isnan(value) else value


def in_words(values: Values) -> str:
    """The values of a setting: `policy.alpha=1, interval_s=5`."""
    return ", ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


def _cell(value: Any) -> Any:
    """A value that a table's column can hold."""
    return value if value is None or isinstance(value, str | int | float) else str(value)


# The folder of a tuning: its manifest, its runs, Optuna's file, and finally the table of runs and the scenarios.


RUNS = "runs.parquet"
BEST = "best.yaml"
FOUND = "found.json"


def manifest_of(scenario: Scenario, wishes: Wishes, space: Space, cases: TuningCases) -> dict[str, Any]:
    """What a tuning depends on, except the number of settings to try; JSON-able."""
    question = {
        "scenario": scenario.as_dict(),
        "aims": [str(aim) for aim in wishes.aims],
        "limits": [str(limit) for limit in wishes.limits],
        "space": {key: repr(values) for key, values in space.items()},
        "loads": cases.words,
        "train": [[case.window, case.seed] for case in cases.train],
        "test": [[case.window, case.seed] for case in cases.test],
        "seeds": cases.seeds,
    }
    manifest = {"schema_version": SCHEMA_VERSION, "kind": "tuning", **question, **versions()}
    return dict(json.loads(json.dumps(manifest)))


def check_same(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise ScenarioError if the folder holds another tuning, or one that was begun with other versions."""
    if not (folder / MANIFEST).is_file():
        return
    before = read_manifest(folder)
    for key in () if before["kind"] != manifest["kind"] else manifest:
        if key == "versions" and before.get(key) != manifest[key]:
            raise ScenarioError(f"--out {folder}: was begun with other versions of packages; give a new folder")
        if key != "python" and before.get(key) != manifest[key]:
            raise ScenarioError(
                f"--out {folder}: holds a tuning with {_differ(key, before.get(key), manifest[key])}; repeat its "
                "command, or give a new folder"
            )


def write_tuned(folder: Path, tuned: Tuned) -> None:
    """Write the findings: the runs, a JSON document, and a scenario file for each of the best settings."""
    write_table(tuned.table, folder / RUNS)
    write_json(tuned.as_dict(), folder / FOUND)
    for place, best in enumerate(tuned.best):
        name = BEST if place == 0 else f"best-{place + 1}.yaml"
        write_text(as_file(tuned, best), folder / name)


def _differ(key: str, then: Any, now: Any) -> str:
    """The difference of two values, in words: the first different key of two mappings, else the values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in {**then, **now}:
            if then.get(name) != now.get(name):
                return _differ(f"{key}.{name}" if key != "scenario" else name, then.get(name), now.get(name))
    if isinstance(now, list) and isinstance(then, list) and len(str(now)) > 200:
        return f"other windows or seeds ({key})"
    return f"{key} {then!r}, not {now!r}"
