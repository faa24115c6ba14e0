"""The findings of a tuning: the best setting, its gain over the defaults, and the scenario to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.studies.intervals import HELD, Estimate
from ipa.studies.many.tuning.aims import Wishes
from ipa.studies.many.tuning.cases import PAST, Case, TuningCases
from ipa.studies.many.tuning.gains import Columns, Gain, Rows, columns_of, means_of
from ipa.studies.many.tuning.space import Space, Values
from ipa.studies.runs.results import SCHEMA_VERSION, versions, write_json, write_table, write_text
from ipa.studies.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

DIGITS = {"cost_mean_cores": 3, "planned_cost_mean_cores": 3, "dropped": 1, "changes": 1, "infeasible_decisions": 1}
"""The decimals of outcomes in text; 2 for other PAS, 3 for the rest."""

RUNS = "runs.parquet"
BEST = "best.yaml"
FOUND = "found.json"


@dataclass(frozen=True)
class TriedSetting:
    """One setting: its number, its values, and the outcomes of its runs, in the order of the cases, or its error."""

    number: int
    values: Values
    rows: Rows = field(default_factory=list)
    error: str | None = None

    @property
    def means(self) -> dict[str, float]:
        """The mean outcomes of its runs."""
        return means_of(columns_of(self.rows))


@dataclass(frozen=True)
class Best:
    """A setting with its scenario, and its gains on the windows for training (`train`) and on others (`test`).

    `number` None: the defaults. `keeps_limits`: on average over the training windows, and over the test windows.
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

    `best`: the defaults if nothing better was found; if no setting keeps the limits, the one that breaks them least.
    `runs`: the outcomes of all training and test runs by setting, None for the defaults.
    """

    defaults: Scenario
    wishes: Wishes
    space: Space
    cases: TuningCases
    settings: tuple[TriedSetting, ...]
    best: Best
    runs: tuple[tuple[int | None, str, Sequence[Case], Columns], ...]

    @property
    def scenario(self) -> Scenario:
        """The scenario of the best setting, ready to run."""
        return self.best.scenario

    @property
    def table(self) -> pd.DataFrame:
        """One row for each run: `trial` (-1: the defaults), `part`, the values of the varied keys, `window_start_s` and
        `window_end_s` (NaN: the whole load), `seed`, the outcomes, and `error`. A failed setting has one row with an
        error and no outcomes."""
        import pandas as pd

        values: dict[int | None, Values] = {None: {}, **{each.number: each.values for each in self.settings}}
        rows: list[dict[str, Any]] = [
            {
                **self._names(number, part, values[number], case),
                **{name: float(column[place]) for name, column in columns.items()},
                "error": "",
            }
            for number, part, cases, columns in self.runs
            for place, case in enumerate(cases)
        ]
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
        best = self.best
        return {
            "aim": str(self.wishes.aim),
            "limits": [str(limit) for limit in self.wishes.limits],
            "loads": self.cases.words,
            "settings": len(self.settings),
            "failed": sum(setting.error is not None for setting in self.settings),
            "best": {
                "trial": best.number,
                "values": dict(best.values),
                "keeps_limits": {"train": best.keeps_limits[0], "test": best.keeps_limits[1]},
                "train": [_gain_as_dict(gain) for gain in best.train],
                "test": [_gain_as_dict(gain) for gain in best.test],
                "scenario": best.scenario.as_dict(),
            },
        }


def lines(tuned: Tuned) -> Iterator[str]:
    """The findings in lines of text: what was done, then the best setting compared with the defaults."""
    best, limits = tuned.best, ", ".join(map(str, tuned.wishes.limits))
    aim = f"{tuned.wishes.aim}{f' with {limits}' if limits else ''}"
    yield f"{tuned.defaults.pipeline} on {tuned.defaults.trace}: {aim}"
    failed = sum(setting.error is not None for setting in tuned.settings)
    yield f"{len(tuned.settings)} settings tried{f', {failed} failed' if failed else ''}; {tuned.cases.words}"
    if tuned.cases.train[0].window is not None:
        yield PAST
    yield f"95 % intervals of changes. {HELD.format('windows')}"
    yield ""
    if best.number is None:
        yield "The defaults: no setting was better in training"
    else:
        yield f"Setting {best.number}: {in_words(best.values)}"
    for part, keeps in zip(("training", "the test"), best.keeps_limits, strict=True):
        if not keeps:
            yield f"  breaks a limit in {part}"
    width = max(len(gain.outcome) for gain in best.test)
    for title, gains in (("training", best.train), ("test", best.test)):
        yield f"  {title:<{width}}  {'defaults':>9}  {'tuned':>9}  change (95 %)"
        for gain in gains:
            before, after = (number(gain.outcome, value) for value in (gain.defaults, gain.tuned))
            yield f"  {gain.outcome:<{width}}  {before:>9}  {after:>9}  {change(gain)}".rstrip()


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
        estimate, factor, form, unit = gain.percent, 1.0, "+.1f", " %"
    elif gain.outcome.endswith("_rate"):
        estimate, factor, form, unit = gain.change, 100.0, "+.3g", " points"
    else:
        estimate, factor, form, unit = gain.change, 1.0, "+.3g", ""
    if isnan(estimate.mean):
        return ""
    mean, low, high = (format(factor * end, form) for end in (estimate.mean, estimate.low, estimate.high))
    return f"{mean}{unit}" + (f" [{low}, {high}]" if estimate.has_interval else "")


def as_file(tuned: Tuned) -> str:
    """The best setting as a scenario file; comments above give the findings."""
    import yaml

    head = "".join(f"# {line}".rstrip() + "\n" for line in lines(tuned))
    keys = tuned.scenario.model_dump(mode="json", exclude_defaults=True)
    content = {"schema_version": 1, "kind": "scenario", **keys}
    return f"{head}{yaml.safe_dump(content, sort_keys=False, width=120)}"


def _gain_as_dict(gain: Gain) -> dict[str, Any]:
    def known(value: float) -> float | None:
        return None if isnan(value) else value

    def ends(estimate: Estimate | None) -> dict[str, float | None] | None:
        return None if estimate is None else {name: known(getattr(estimate, name)) for name in ("mean", "low", "high")}

    return {
        "outcome": gain.outcome,
        "defaults": known(gain.defaults),
        "tuned": known(gain.tuned),
        "change": ends(gain.change),
        "change_percent": ends(gain.percent),
    }


def in_words(values: Values) -> str:
    """The values of a setting: `policy.alpha=1, interval_s=5`."""
    return ", ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


def _cell(value: Any) -> Any:
    """A value that a table's column can hold."""
    return value if value is None or isinstance(value, str | int | float) else str(value)


def manifest_of(scenario: Scenario, wishes: Wishes, space: Space, cases: TuningCases) -> dict[str, Any]:
    """What a tuning depends on, except the number of settings to try; JSON-able."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "tuning",
        "scenario": scenario.as_dict(),
        "aim": str(wishes.aim),
        "limits": [str(limit) for limit in wishes.limits],
        "space": {key: repr(values) for key, values in space.items()},
        "loads": cases.words,
        **versions(),
    }


def write_tuned(folder: Path, tuned: Tuned) -> None:
    """Write the findings: the runs, a JSON document, and the best setting as a scenario file."""
    write_table(tuned.table, folder / RUNS)
    write_json(tuned.as_dict(), folder / FOUND)
    write_text(as_file(tuned), folder / BEST)
