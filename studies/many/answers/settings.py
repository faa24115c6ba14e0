"""A table of runs by setting: a setting is one value of every key that varies, with a run for each of its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ipa.profiles import did_you_mean
from ipa.sim import FloatArray, IntArray
from ipa.studies.intervals import CONFIDENCE, Estimate, FigureKind, IntervalBounds, bounds, differences, kind_of
from ipa.studies.many.answers.outcome import Outcome, figure_of, has_figure
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

LOADS = ("pipeline", "setting", "workload", "trace", "window", "scale", "scaling", "arrivals")
"""Keys of the load. They are not chosen: settings are compared at the same values of these."""

SIZES = ("requests", "duration_s", "decisions")
"""Columns with the size of a run."""

HOUR_S = 3600.0

NOT_SET = "–"
"""The text for a key that a setting does not have."""

MOST_NAMES = 30

Level = float | str


@dataclass(frozen=True)
class Key:
    """A key that varies, and its levels: numbers in ascending order, others in order of appearance."""

    name: str
    title: str
    levels: tuple[Level, ...]
    is_number: bool

    @property
    def is_load(self) -> bool:
        """Whether it is a key of the load."""
        return self.name in LOADS

    @property
    def fits(self) -> bool:
        """Whether its values fit on an axis: numbers, which can be binned, or at most thirty names."""
        return self.is_number or len(self.levels) <= MOST_NAMES

    def text(self, code: int) -> str:
        """A level as text for people."""
        if code < 0:
            return NOT_SET
        level = self.levels[code]
        if isinstance(level, str):
            return level
        digits = 6 if len(self.levels) <= MOST_NAMES else 4
        return f"{level:.{digits}g}".replace("-", "−")


@dataclass(frozen=True, eq=False)
class ComparedSettings:
    """The settings of a table.

    `codes`: shape (settings, keys), the index of each value among its key's levels, -1 if the key is not set.
    `values`: column -> shape (settings, seeds), NaN without such a run or figure: those of the outcomes, and further
    ones. `sizes`: likewise, the sizes of the runs, as far as the table has them, and of one hour of each. `is_bound`:
    which settings know the load to come, shape (settings,). `loads`: the number of loads over which values are means
    and sizes are sums; `traces`: the names of these loads.
    """

    keys: tuple[Key, ...]
    codes: IntArray
    outcomes: tuple[Outcome, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, FloatArray]
    runs: int
    failed: int
    is_bound: NDArray[np.bool_]
    sizes: Mapping[str, FloatArray] = field(default_factory=dict)
    loads: int = 1
    traces: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def means(self) -> Mapping[str, FloatArray]:
        """Outcome's column -> the mean over the seeds of every setting, NaN if no run has the figure."""
        return {column: row_means(values) for column, values in self.values.items()}

    def estimate(self, outcome: Outcome, place: int) -> Estimate | None:
        """The mean over the seeds of a setting, with its interval, in the outcome's unit."""
        bounds = self.bounds(outcome, np.array([place]))
        return None if np.isnan(bounds.mean[0]) else Estimate(*(float(ends[0]) for ends in bounds[:3]))

    def bounds(self, outcome: Outcome, places: IntArray) -> IntervalBounds:
        """As `estimate`, for some settings."""
        kind, values, sizes, span_s = self.given(outcome)
        intervals = bounds(kind, values[places], CONFIDENCE, sizes[places], span_s[places])
        return self.in_unit(intervals, kind, outcome)

    def differences(self, outcome: Outcome, against: int, confidence: float) -> IntervalBounds:
        """The differences of all settings from the one at `against`, seed by seed, in the outcome's unit."""
        kind, values, sizes, span_s = self.given(outcome)
        return self.in_unit(differences(kind, values, values[against][None], confidence, sizes, span_s), kind, outcome)

    def given(self, outcome: Outcome) -> tuple[FigureKind, FloatArray, FloatArray, FloatArray]:
        """The arguments of `intervals.bounds` for all settings: the kind, the values, and the sizes of the runs."""
        kind, values = kind_of(outcome.column), self.values[outcome.column]
        unknown = np.full(values.shape, np.nan)
        sizes = ("hour_requests", "hour_s") if kind.is_of_an_hour else (kind.of or "", "duration_s")
        requests, span_s = (self.sizes.get(size, unknown) for size in sizes)
        kind = kind if outcome.is_rate else replace(kind, least=-np.inf)
        return kind, values * (self.loads if kind.is_count else 1), requests, span_s

    def in_unit(self, intervals: IntervalBounds, kind: FigureKind, outcome: Outcome) -> IntervalBounds:
        """The result of `intervals.bounds` in the outcome's unit."""
        factor = outcome.factor / (self.loads if kind.is_count else 1)
        return IntervalBounds(
            factor * intervals.mean, factor * intervals.low, factor * intervals.high, intervals.events
        )

    def differs(self, outcome: Outcome) -> bool:
        """Whether any two settings have different means of an outcome."""
        means = self.means[outcome.column]
        return len(np.unique(means[np.isfinite(means)])) > 1

    def only(self, places: IntArray) -> ComparedSettings:
        """Some of the settings, in the order of `places`."""
        values, sizes = (
            {name: rows[places] for name, rows in by_name.items()} for by_name in (self.values, self.sizes)
        )
        return replace(self, codes=self.codes[places], values=values, sizes=sizes, is_bound=self.is_bound[places])

    def title(self, place: int) -> str:
        """A setting in words: `alpha 2, load_margin 0.1`."""
        return ", ".join(
            f"{key.title} {key.text(code)}" for key, code in zip(self.keys, self.codes[place], strict=True)
        )

    def numbers_of(self, place: int) -> FloatArray:
        """The values of a numeric key, by setting; NaN if it is not set."""
        levels = np.array([*self.keys[place].levels, np.nan], dtype=np.float64)
        return np.asarray(levels[self.codes[:, place]])

    def find(self, values: Mapping[str, Any]) -> int:
        """The place of the setting with these values. Raises ScenarioError if none, or more than one, has them."""
        names = [key.name for key in self.keys]
        is_match = np.ones(len(self), dtype=bool)
        for name, value in values.items():
            if name not in names:
                raise ScenarioError(f"{name}: is not a key that varies{did_you_mean(name, names)}")
            at = names.index(name)
            level = _level(value, self.keys[at].is_number)
            if level not in self.keys[at].levels:
                raise ScenarioError(f"{name}: no setting has the value {value!r}")
            is_match &= self.codes[:, at] == self.keys[at].levels.index(level)
        matches = np.flatnonzero(is_match)
        if len(matches) != 1:
            raise ScenarioError(f"{len(matches) or 'no'} settings have {dict(values)}; name values that one alone has")
        return int(matches[0])


def row_means(values: FloatArray) -> FloatArray:
    """The mean of each row without its NaNs; NaN for a row of NaNs only."""
    is_measured = np.isfinite(values)
    count = is_measured.sum(axis=1)
    total = np.where(is_measured, values, 0.0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def read(
    table: pd.DataFrame, keys: Sequence[str], outcomes: Sequence[Outcome], further: Iterable[str] = ()
) -> ComparedSettings:
    """The table's runs by setting, settings in order of appearance, seeds in ascending order.

    `further`: columns of figures to have besides the outcomes, as far as the table has them (see `figure_of`). Runs
    with an `error` are counted as failed. Raises ScenarioError if the table lacks a key, `seed` or any finished run,
    and for two runs of the same setting with the same seed.
    """
    columns = list(table.columns)
    for name in (*keys, "seed"):
        if name not in columns:
            raise ScenarioError(f"the table has no column {name!r}{did_you_mean(name, columns)}")
    ended = table
    if "error" in columns:
        ended = table[table["error"].isna() | (table["error"] == "")]
    if not len(ended):
        raise ScenarioError(f"the table has no finished run{f'; {len(table)} failed' if len(table) else ''}")
    titles = _titles(keys)
    keys_of_table, codes = [], []
    for name, title in zip(keys, titles, strict=True):
        key, of_key = _key(name, title, ended[name].tolist())
        keys_of_table.append(key)
        codes.append(of_key)
    matrix = np.array(codes, dtype=np.int64).reshape(len(keys), len(ended)).T
    rows, setting = _numbered(matrix)
    seeds, seed = np.unique(ended["seed"].to_numpy(dtype=np.int64), return_inverse=True)
    if len(np.unique(setting * len(seeds) + seed)) < len(ended):
        raise ScenarioError(
            "keys: two runs have the same values of them and the same seed; the key that tells them apart is missing"
        )

    def by_setting(figures: Sequence[Any]) -> FloatArray:
        values = np.full((len(rows), len(seeds)), np.nan)
        values[setting, seed] = np.array(
            [nan if _is_missing(figure) else figure for figure in figures], dtype=np.float64
        )
        return values

    figures = {outcome.column: ended[outcome.column].tolist() for outcome in outcomes}
    for name in further:
        if name not in figures and has_figure(columns, name):
            rows_of_table: list[Any] = ended.to_dict("records")
            figures[name] = [figure_of(run, name) for run in rows_of_table]
    knows_future = (
        ended["knows_future"].eq(True).to_numpy() if "knows_future" in columns else np.zeros(len(ended), bool)
    )
    return ComparedSettings(
        tuple(keys_of_table),
        matrix[rows],
        tuple(outcomes),
        tuple(seeds.tolist()),
        {name: by_setting(values) for name, values in figures.items()},
        len(ended),
        len(table) - len(ended),
        np.isin(np.arange(len(rows)), setting[knows_future]),
        _with_hours({name: by_setting(ended[name].tolist()) for name in SIZES if name in columns}),
        traces=tuple(map(str, ended["trace"].dropna().unique())) if "trace" in columns else (),
    )


def of_summaries(
    key: str,
    summaries: Mapping[str, Mapping[int, Mapping[str, Any]]],
    outcomes: Sequence[Outcome],
    further: Iterable[str] = (),
) -> ComparedSettings:
    """The settings of a single key, from the runs' summaries by its value and by seed. `further`: as in `read`."""
    seeds = tuple(sorted({seed for runs in summaries.values() for seed in runs}))

    def by_setting(column: str) -> FloatArray:
        rows = [[figure_of(runs.get(seed, {}), column) for seed in seeds] for runs in summaries.values()]
        return np.array(rows, dtype=np.float64)

    return ComparedSettings(
        (Key(key, key, tuple(summaries), is_number=False),),
        np.arange(len(summaries))[:, None],
        tuple(outcomes),
        seeds,
        {name: by_setting(name) for name in (*(outcome.column for outcome in outcomes), *further)},
        sum(map(len, summaries.values())),
        0,
        np.array([any(run.get("knows_future") for run in runs.values()) for runs in summaries.values()], dtype=bool),
        _with_hours({name: by_setting(name) for name in SIZES}),
    )


def _with_hours(sizes: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """The sizes of runs, and those of an hour of each; a run of less counts whole."""
    if "duration_s" in sizes and "requests" in sizes:
        part = np.minimum(HOUR_S / sizes["duration_s"], 1.0)
        sizes |= {"hour_s": part * sizes["duration_s"], "hour_requests": part * sizes["requests"]}
    return sizes


def varied(table: pd.DataFrame, names: Iterable[str]) -> tuple[str, ...]:
    """Those of some columns that have more than one value in a table. Text columns equivalent to an earlier column,
    such as the trace of a workload, are left out."""
    varying: list[str] = []
    kinds_before: list[list[int]] = []
    for name in names:
        if name not in table.columns:
            continue
        key, codes = _key(name, name, table[name].tolist())
        kinds = _numbered(codes[:, None])[1].tolist()
        if max(kinds, default=0) and (key.is_number or kinds not in kinds_before):
            kinds_before.append(kinds)
            varying.append(name)
    return tuple(varying)


def over_loads(settings: ComparedSettings) -> ComparedSettings | None:
    """The settings to choose among, each with its means over all loads, seed by seed.

    None if there is nothing to choose, or if settings ran on different loads and cannot be compared. A figure that is
    missing on one of the loads is missing.
    """
    chosen = [at for at, key in enumerate(settings.keys) if not key.is_load]
    if not chosen:
        return None
    if len(chosen) == len(settings.keys):
        return settings
    load = _numbered(settings.codes[:, [at for at in range(len(settings.keys)) if at not in chosen]])[1]
    rows, choice = _numbered(settings.codes[:, chosen])
    loads = int(load.max()) + 1
    if len(settings) != len(rows) * loads:
        return None

    def by_load(of_setting: FloatArray) -> FloatArray:
        of_loads = np.full((len(rows), loads, len(settings.seeds)), np.nan)
        of_loads[choice, load] = of_setting
        return of_loads

    return replace(
        settings,
        keys=tuple(settings.keys[at] for at in chosen),
        codes=settings.codes[rows][:, chosen],
        values={column: by_load(of_setting).mean(axis=1) for column, of_setting in settings.values.items()},
        sizes={name: by_load(of_setting).sum(axis=1) for name, of_setting in settings.sizes.items()},
        is_bound=np.isin(np.arange(len(rows)), choice[settings.is_bound]),
        loads=loads,
    )


def _numbered(codes: IntArray) -> tuple[IntArray, IntArray]:
    """The first row of each distinct kind, in order of appearance, and the number of each row's kind."""
    if not codes.shape[1]:
        return np.zeros(1, dtype=np.int64), np.zeros(len(codes), dtype=np.int64)
    _, first, kind = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[kind.reshape(-1)]


def _key(name: str, title: str, values: list[Any]) -> tuple[Key, IntArray]:
    """The key of a column, and the codes of its values."""
    present = [value for value in values if not _is_missing(value)]
    is_number = bool(present) and all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_) for value in present
    )
    distinct = dict.fromkeys(_level(value, is_number) for value in present)
    levels = sorted(distinct) if is_number else list(distinct)
    places = {level: place for place, level in enumerate(levels)}
    codes = [-1 if _is_missing(value) else places[_level(value, is_number)] for value in values]
    return Key(name, title, tuple(levels), is_number), np.array(codes, dtype=np.int64)


def _level(value: Any, is_number: bool) -> Level:
    if is_number:
        return float(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ", ".join(map(str, value.values()))
    return json.dumps(value, default=str)


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or value == ""
        or (isinstance(value, float | np.floating) and not isfinite(value))
        or str(value) == "<NA>"
    )


def _titles(names: Sequence[str]) -> list[str]:
    """The last parts of dotted names (`predictor` of `policy.predictor.name`), unless two would be equal."""
    short = [name.removesuffix(".name").rpartition(".")[2] for name in names]
    return [last if short.count(last) == 1 else name for last, name in zip(short, names, strict=True)]
