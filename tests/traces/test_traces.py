"""Traces: the value, windows and scaling, arrival processes, files, names."""

import bz2
import csv
import gzip
import json
import lzma
import math
import os
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa import traces
from ipa.traces import Trace, TraceError, arrivals, find, info, read, write


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of_counts(*counts: int, history: Any = ()) -> Trace:
    return Trace.of_counts("given", counts, history_counts=history)


def of_times(*times_s: float, duration_s: float | None = None) -> Trace:
    return Trace.of_timestamps("given", times_s, duration_s=duration_s)


untimed = settings(deadline=None)

counts_lists = st.lists(st.integers(0, 50), min_size=1, max_size=40)
counts_traces = st.builds(
    lambda counts, history: Trace.of_counts("any", counts, history_counts=history),
    counts_lists,
    st.lists(st.integers(0, 50), max_size=8),
)
times_traces = st.builds(
    lambda times, more_s, history: Trace.of_timestamps(
        "any",
        sorted(times),
        duration_s=max(times, default=0.0) + more_s,
        history_counts=history,
    ),
    st.lists(st.floats(0, 40), max_size=40),
    st.floats(0.001, 3),
    st.lists(st.integers(0, 50), max_size=8),
)
any_traces = counts_traces | times_traces


# The value


def test_counts_last_one_second_each() -> None:
    trace = of_counts(3, 0, 2)
    assert (trace.kind, trace.duration_s, trace.requests) == ("counts", 3.0, 5)
    assert trace.timestamps_s is None
    assert trace.per_second().tolist() == [3, 0, 2]
    assert trace.per_second().dtype == np.int64


def test_timestamps_last_to_the_end_of_the_last_ones_second_unless_told() -> None:
    trace = of_times(0.0, 0.5, 2.0)
    assert (trace.kind, trace.duration_s, trace.requests) == ("timestamps", 3.0, 3)
    assert trace.per_second().tolist() == [2, 0, 1]
    assert of_times(0.5, duration_s=2.5).per_second().tolist() == [1, 0, 0]


def test_a_trace_cannot_be_changed() -> None:
    mine = np.array([1, 2, 3])
    trace = Trace.of_counts("given", mine)
    mine[0] = 9
    assert trace.per_second().tolist() == [1, 2, 3]
    for array in (trace.counts, trace.history_counts, of_times(1.0).timestamps_s):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 7
    with pytest.raises(FrozenInstanceError):
        trace.name = "other"  # type: ignore[misc]


def test_equal_loads_are_equal_traces_with_equal_digests() -> None:
    one, other = of_counts(1, 2, history=(5,)), of_counts(1, 2, history=(5,))
    assert one == replace(other, name="renamed", source="elsewhere")
    assert one.digest == other.digest
    assert hash(one) == hash(other)
    different = [of_counts(1, 2), of_counts(2, 1, history=(5,)), of_counts(1, 2, 0, history=(5,))]
    different += [of_times(0.5, 1.2, 1.3), of_times(0.5, 1.2, 1.3, duration_s=9)]
    assert len({trace.digest for trace in [one, *different]}) == 6
    assert all(one != trace for trace in different)
    assert one != "given"


def test_the_zeros_of_either_sign_are_one_instant() -> None:
    assert of_times(-0.0, 1.0) == of_times(0.0, 1.0)
    assert of_times(-0.0, 1.0).digest == of_times(0.0, 1.0).digest


def test_without_a_file_the_sha256_is_the_digest_of_the_load_as_first_made() -> None:
    trace = of_counts(4, 4, 4)
    assert trace.sha256 == trace.digest
    part = trace.window([(0, 2)])
    assert part.sha256 == trace.digest != part.digest


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, -3], r"counts\[1\]: -3 is negative"),
        ([1.0, 2.5], r"counts\[1\]: 2.5 is not a whole number"),
        ([math.nan], r"counts\[0\]: nan is not a finite number"),
        ([10**9 + 1], r"counts\[0\]: 1000000001 is too large"),
        ([], "lasts more than 0"),
        (["3"], "expected numbers"),
        ([True], "expected numbers"),
        ([[1, 2]], "expected one dimension, got 2"),
        ([[1], [1, 2]], "expected a flat sequence"),
    ],
)
def test_what_is_no_count_is_refused_by_its_index(counts: list[int], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        Trace.of_counts("given", counts)


@pytest.mark.parametrize(
    ("times_s", "duration_s", "message"),
    [
        ([0.0, -0.5], 3, r"timestamps_s\[1\]: -0.5 is negative"),
        ([0.0, math.nan], None, r"timestamps_s\[1\]: nan is not a finite number"),
        ([1.7e9], None, r"timestamps_s\[0\]: 1700000000 is too large: times are seconds since"),
        ([2.0, 1.0], 3, r"timestamps_s\[1\]: 1.0 follows 2.0; timestamps must be sorted"),
        ([1.0, 3.0], 3, r"timestamps_s\[1\]: 3.0 is not before the end, 3 s"),
        ([], None, "duration_s must be given"),
        ([], 0, "lasts more than 0 and at most 1e[+]08 s, not 0"),
        ([], math.nan, "not nan"),
    ],
)
def test_what_is_no_instant_is_refused_by_its_index(
    times_s: list[float], duration_s: float | None, message: str
) -> None:
    with pytest.raises(TraceError, match=message):
        Trace.of_timestamps("given", times_s, duration_s=duration_s)


def test_a_trace_holds_counts_or_timestamps_of_its_length() -> None:
    with pytest.raises(TraceError, match="one of the two"):
        Trace("given", 3.0)
    with pytest.raises(TraceError, match="one of the two"):
        Trace("given", 1.0, np.array([1]), np.array([0.5]))
    with pytest.raises(TraceError, match="2 counts do not last 3 s"):
        Trace("given", 3.0, np.array([1, 2]))
    with pytest.raises(TraceError, match=r"history_counts\[1\]: -1 is negative"):
        of_counts(1, history=(1, -1))


# Windows


def test_a_window_excludes_its_end_and_brings_the_history_before_it() -> None:
    part = of_counts(0, 1, 2, 3, 4, 5, 6).window([(3, 5)])
    assert part.per_second().tolist() == [3, 4]
    assert part.history_counts.tolist() == [0, 1, 2]
    assert part.duration_s == 2.0
    assert part.source == "given, seconds 3-5"


def test_windows_are_joined_as_given_with_the_history_of_the_first() -> None:
    part = of_counts(0, 1, 2, 3, 4, 5).window([(4, 6), (1, 2), (4, 6)])
    assert part.per_second().tolist() == [4, 5, 1, 4, 5]
    assert part.history_counts.tolist() == [0, 1, 2, 3]


def test_a_windows_history_reaches_into_the_traces_own_and_ends_at_three_days() -> None:
    trace = of_counts(3, 4, 5, history=(1, 2))
    assert trace.window([(1, 2)]).history_counts.tolist() == [1, 2, 3]
    assert trace.window([(0, 2)]).history_counts.tolist() == [1, 2]
    long = of_counts(*range(300_000)).window([(299_900, 300_000)])
    assert long.history_counts.tolist() == list(range(40_700, 299_900))
    assert long.window([(1, 3)]).history_counts.tolist() == list(range(40_701, 299_901))


def test_a_longer_history_shifts_no_draw_of_a_thinned_load() -> None:
    counts = np.random.default_rng(1).poisson(20, 3000)
    short = of_counts(*counts[2000:], history=counts[1400:2000]).scaled(0.5, "thin", np.random.default_rng(2))
    long = of_counts(*counts[2000:], history=counts[:2000]).scaled(0.5, "thin", np.random.default_rng(2))
    assert long.load.tolist() == short.load.tolist()
    assert long.history_counts[-600:].tolist() == short.history_counts.tolist()
    assert len(long.history_counts) == 2000


def test_timestamps_are_cut_and_shifted() -> None:
    trace = of_times(0.25, 1.0, 1.5, 2.0, 3.75)
    part = trace.window([(1, 2), (3, 4), (1, 2)])
    assert part.load.tolist() == [0.0, 0.5, 1.75, 2.0, 2.5]
    assert part.duration_s == 3.0
    assert part.history_counts.tolist() == [1]
    half = trace.window([(1.5, 2.5)])
    assert half.load.tolist() == [0.0, 0.5]
    assert half.history_counts.tolist() == [1]  # the second from 0.5 to 1.5 has the request at 1.0


def test_rounding_does_not_carry_a_timestamp_out_of_its_window() -> None:
    last = math.nextafter(1.0, 0.0)
    part = of_times(last, 1000.5, duration_s=1001).window([(1000, 1001), (0, 1)])
    assert part.per_second().tolist() == [1, 1]
    assert part.load[-1] < 2.0


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([], "no window given"),
        ([(2, 2)], "window 2:2: .* has seconds 0 to 5"),
        ([(-1, 2)], "window -1:2: .* has seconds 0 to 5"),
        ([(0, 6)], "window 0:6: .* has seconds 0 to 5"),
        ([(0, 2), (4, 7)], "window 4:7: .* has seconds 0 to 5"),
        ([(math.nan, 2)], "window nan:2"),
        ([(0.5, 2)], r"window 0.5:2: counts can only be cut at whole seconds"),
        ((0, 2), r"window 0: should be a list of pairs"),
        ([(0, 1, 2)], r"window \(0, 1, 2\): should be a list of pairs"),
    ],
)
def test_a_window_outside_the_trace_is_refused_with_its_length(
    windows: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(TraceError, match=message):
        of_counts(1, 2, 3, 4, 5).window(windows)


@untimed
@given(any_traces)
def test_the_window_of_everything_is_the_trace(trace: Trace) -> None:
    assert trace.window([(0, trace.duration_s)]) == trace


@untimed
@given(any_traces, st.data())
def test_the_pieces_of_a_trace_joined_are_the_trace(trace: Trace, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, math.floor(trace.duration_s)))
    pieces = [(0, cut), (cut, trace.duration_s)]
    joined = trace.window([(start, end) for start, end in pieces if start < end])
    assert joined.requests == trace.requests
    assert joined.per_second().tolist() == trace.per_second().tolist()
    assert joined.history_counts.tolist() == trace.history_counts.tolist()


@untimed
@given(counts_traces, st.data())
def test_a_window_of_a_window_is_a_window(trace: Trace, data: st.DataObject) -> None:
    end = data.draw(st.integers(1, len(trace.load)))
    start = data.draw(st.integers(0, end - 1))
    inner = data.draw(st.integers(start, end - 1))
    nested = trace.window([(start, end)]).window([(inner - start, end - start)])
    assert nested == trace.window([(inner, end)])


# Scaling


def test_floor_rounds_each_second_down_and_the_history_too() -> None:
    scaled = of_counts(7, 8, 15, 63, history=(16, 17)).scaled(1 / 8, "floor")
    assert scaled.per_second().tolist() == [0, 1, 1, 7]
    assert scaled.history_counts.tolist() == [2, 2]
    assert scaled.source == "given, x 0.125"


def test_floor_takes_a_product_meant_whole_as_whole() -> None:
    assert 100 * 0.29 == 28.999999999999996
    assert of_counts(100).scaled(0.29, "floor").per_second().tolist() == [29]


def test_thinning_keeps_the_mean_where_floor_loses_half_a_request() -> None:
    trace = of_counts(*[5] * 20_000, history=(5,) * 500)
    thin = trace.scaled(0.5, "thin", rng())
    assert trace.scaled(0.5, "floor").requests == 40_000  # floor(2.5) = 2
    assert thin.requests == pytest.approx(50_000, abs=500)  # sd 158
    assert thin.history_counts.mean() == pytest.approx(2.5, abs=0.2)
    assert thin.per_second().var() == pytest.approx(1.25, abs=0.06)  # binomial: 5 x 0.5 x 0.5
    assert thin == trace.scaled(0.5, "thin", rng())
    assert thin.source == "given, thinned x 0.5"


def test_thinning_above_one_keeps_whole_copies_and_draws_the_fraction() -> None:
    scaled = of_counts(*[4] * 10_000).scaled(2.25, "thin", rng())
    assert scaled.per_second().min() >= 8
    assert scaled.per_second().max() <= 12
    assert scaled.requests == pytest.approx(90_000, abs=400)  # sd 87
    doubled = of_times(0.5, 1.5).scaled(2, "thin", rng())
    assert doubled.load.tolist() == [0.5, 0.5, 1.5, 1.5]


def test_thinned_timestamps_are_some_of_the_timestamps() -> None:
    trace = Trace.of_timestamps("given", np.arange(10_000) / 100)
    thin = trace.scaled(0.3, "thin", rng())
    assert set(thin.load.tolist()) <= set(trace.load.tolist())
    assert thin.requests == pytest.approx(3000, abs=150)  # sd 46
    assert thin.duration_s == trace.duration_s


@pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("how", ["floor", "thin"])
def test_a_factor_that_is_not_above_zero_and_finite_is_refused(factor: float, how: str) -> None:
    with pytest.raises(TraceError, match=f"scale {factor:g}: should be a finite number above 0"):
        of_counts(1).scaled(factor, how, rng())  # type: ignore[arg-type]


def test_scaling_that_cannot_be_done_says_what_to_do() -> None:
    with pytest.raises(TraceError, match=r"holds timestamps.*how='thin'"):
        of_times(0.5).scaled(0.5, "floor")
    with pytest.raises(TraceError, match="give rng"):
        of_counts(1).scaled(0.5, "thin")
    with pytest.raises(TraceError, match="'thin' or 'floor', not 'round'"):
        of_counts(1).scaled(0.5, "round")  # type: ignore[arg-type]
    for how in ("floor", "thin"):
        with pytest.raises(TraceError, match=r"scale 1e[+]09: a second of 9 requests"):
            of_counts(1, 9).scaled(1e9, how, rng())


@untimed
@given(counts_traces, st.floats(0.01, 20))
def test_floor_never_exceeds_the_product_and_misses_less_than_one(trace: Trace, factor: float) -> None:
    products = trace.load * factor
    scaled = trace.scaled(factor, "floor")
    assert (scaled.load <= products + 1e-9).all()
    assert (scaled.load > products - 1).all()


@untimed
@given(any_traces, st.integers(1, 4))
def test_thinning_by_a_whole_number_is_exact(trace: Trace, factor: int) -> None:
    scaled = trace.scaled(factor, "thin", rng())
    assert scaled.per_second().tolist() == (trace.per_second() * factor).tolist()
    assert scaled.history_counts.tolist() == (trace.history_counts * factor).tolist()


@untimed
@given(counts_traces, st.floats(0.01, 3), st.data())
def test_scaling_and_cutting_can_change_places(trace: Trace, factor: float, data: st.DataObject) -> None:
    end = data.draw(st.integers(1, len(trace.load)))
    start = data.draw(st.integers(0, end - 1))
    cut = [(float(start), float(end))]
    assert trace.scaled(factor, "floor").window(cut) == trace.window(cut).scaled(factor, "floor")


# Arrival processes


@pytest.mark.parametrize("process", traces.PROCESSES)
@untimed
@given(counts=counts_lists, seed=st.integers(0, 2**32))
def test_arrivals_are_sorted_within_the_trace_and_the_same_for_a_seed(
    process: str, counts: list[int], seed: int
) -> None:
    trace = Trace.of_counts("any", counts)
    times_s = arrivals(trace, process, rng(seed))
    assert times_s.dtype == np.float64
    assert (np.diff(times_s) >= 0).all()
    assert ((times_s >= 0) & (times_s < trace.duration_s)).all()
    assert times_s.tobytes() == arrivals(trace, process, rng(seed)).tobytes()


@pytest.mark.parametrize("process", ["poisson", "even"])
@untimed
@given(counts=counts_lists, seed=st.integers(0, 2**32))
def test_poisson_and_even_keep_the_count_of_every_second(process: str, counts: list[int], seed: int) -> None:
    times_s = arrivals(Trace.of_counts("any", counts), process, rng(seed))
    assert np.bincount(times_s.astype(int), minlength=len(counts)).tolist() == counts


@untimed
@given(counts=counts_lists, seed=st.integers(0, 2**32))
def test_clumped_keeps_the_count_of_the_whole(counts: list[int], seed: int) -> None:
    assert len(arrivals(Trace.of_counts("any", counts), "clumped", rng(seed))) == sum(counts)


def test_even_puts_the_kth_of_n_at_k_plus_a_half_over_n() -> None:
    times_s = arrivals(of_counts(4, 0, 1), "even")
    assert times_s.tolist() == [0.125, 0.375, 0.625, 0.875, 2.5]


def test_poisson_is_uniform_within_the_second() -> None:
    offsets_s = arrivals(of_counts(*[10] * 2000), "poisson", rng()) % 1
    assert offsets_s.mean() == pytest.approx(1 / 2, abs=0.01)  # sd 0.002
    assert offsets_s.var() == pytest.approx(1 / 12, abs=0.003)


def test_poisson_count_draws_counts_whose_variance_is_their_mean() -> None:
    times_s = arrivals(of_counts(*[10] * 5000), "poisson-count", rng())
    counts = np.bincount(times_s.astype(int), minlength=5000)
    assert counts.mean() == pytest.approx(10, abs=0.2)  # sd 0.045
    assert counts.var() == pytest.approx(10, abs=1)  # sd 0.2
    gaps_s = np.diff(times_s)
    assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.03)  # as of an exponential


def test_clumped_offsets_are_exponential_with_mean_one_over_the_count() -> None:
    seconds = 5000
    counts = [10, 0] * seconds  # an empty second after each catches the few that spill
    offsets_s = arrivals(of_counts(*counts), "clumped", rng()) % 2
    assert offsets_s.mean() == pytest.approx(0.1, abs=0.002)  # sd 0.0004
    assert offsets_s.std() == pytest.approx(0.1, abs=0.003)
    early = (offsets_s < 0.1).mean()
    assert early == pytest.approx(1 - math.exp(-1), abs=0.01)  # 63 % in the first tenth


def test_a_lone_clumped_request_falls_past_its_second_in_37_percent_of_cases() -> None:
    counts = [1, *[0] * 49] * 4000
    spilt = arrivals(of_counts(*counts), "clumped", rng()) % 50 >= 1
    assert spilt.mean() == pytest.approx(math.exp(-1), abs=0.03)  # sd 0.008


def test_clumped_ends_with_the_trace_by_the_exponential_given_that_it_does() -> None:
    offsets_s = [arrivals(of_counts(1), "clumped", rng(seed))[0] for seed in range(4000)]
    assert max(offsets_s) < 1
    # The mean of Exp(1) below 1 is (1 - 2/e) / (1 - 1/e) = 0.418.
    assert np.mean(offsets_s) == pytest.approx(0.418, abs=0.02)  # sd 0.0045


def test_no_request_is_rounded_out_of_its_second_or_the_trace() -> None:
    class Last(np.random.Generator):
        def random(self, size: int) -> np.ndarray:  # type: ignore[override]
            return np.full(size, np.nextafter(1.0, 0.0))

    trace = Trace.of_counts("given", [0] * 99_999 + [1])
    highest = Last(np.random.PCG64(0))
    assert 99_999 + np.nextafter(1.0, 0.0) == 100_000
    for process in ("poisson", "clumped"):
        assert arrivals(trace, process, highest)[0] == math.nextafter(100_000, 0)


def test_timestamps_are_their_own_arrivals() -> None:
    trace = of_times(0.25, 0.5, 1.75)
    for process in traces.PROCESSES:
        assert arrivals(trace, process).tolist() == [0.25, 0.5, 1.75]


def test_an_arrival_process_is_named_and_given_its_generator() -> None:
    with pytest.raises(TraceError, match=r"unknown arrival process 'poison'.*mean 'poisson'\?"):
        arrivals(of_counts(1), "poison", rng())
    with pytest.raises(TraceError, match="'clumped' is random: give rng"):
        arrivals(of_counts(1), "clumped")


def test_no_requests_arrive_as_no_instants() -> None:
    for process in traces.PROCESSES:
        assert arrivals(of_counts(0, 0), process, rng()).shape == (0,)


# Files


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".txt", bytes),
        ("", bytes),
        (".txt.xz", lzma.compress),
        (".txt.bz2", bz2.compress),
        (".txt.gz", gzip.compress),
        (".xz", lzma.compress),
    ],
)
def test_counts_are_read_from_text_however_packed(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    stored = pack(b"52 55 48 0\n 7\t8 \n")
    trace = read(put(tmp_path / f"stream-2018{suffix}", stored))
    assert trace.per_second().tolist() == [52, 55, 48, 0, 7, 8]
    assert trace.name == "stream-2018"
    assert trace.source == f"stream-2018{suffix}"
    assert trace.sha256 == sha256(stored).hexdigest()
    assert len(trace.history_counts) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("5 6\n7 -8 9", "line 2, column 3: number 4 is '-8': -8 is negative"),
        ("5 6.5", "line 1, column 3: number 2 is '6.5': 6.5 is not a whole number"),
        ("5 6.0", "line 1, column 3: number 2 is '6.0': not written as a whole number"),
        ("5 nan 7", "number 2 is 'nan': nan is not a finite number"),
        ("5,6 7", "line 1, column 1: number 1 is '5,6': not a number"),
        ("5 \x00", r"line 1, column 3: number 2 is '\\x00': not a number"),
        ("1\n2\n\nhello", "line 4, column 1: number 3 is 'hello': not a number"),
        ("1 " + "9" * 30, f"number 2 is '{'9' * 30}': .* is too large"),
        ("", "the file is empty"),
    ],
)
def test_text_that_is_no_counts_is_refused_by_line_and_column(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = put(tmp_path / "stream.txt", content)
    with pytest.raises(TraceError, match=message) as refusal:
        read(path)
    assert str(refusal.value).startswith(str(path))


@pytest.mark.parametrize("suffix", [".xz", ".bz2", ".gz"])
def test_a_packed_file_cut_off_or_damaged_is_refused(tmp_path: Path, suffix: str) -> None:
    packs: dict[str, Callable[[bytes], bytes]] = {
        ".xz": lzma.compress,
        ".bz2": bz2.compress,
        ".gz": gzip.compress,
    }
    packed = packs[suffix](" ".join(map(str, range(1000))).encode())
    for content in (packed[: len(packed) // 2], b"not packed at all", packed[:40] + b"?" * 80):
        with pytest.raises(TraceError, match=rf"stream.txt{suffix}: damaged or cut off, "):
            read(put(tmp_path / f"stream.txt{suffix}", content))


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "march.txt", "1 2")
    with pytest.raises(TraceError, match=r"mrach.txt: no such file; did you mean 'march.txt'\?"):
        read(tmp_path / "mrach.txt")
    with pytest.raises(TraceError, match=r"nowhere/march.txt: no such file$"):
        read(tmp_path / "nowhere" / "march.txt")
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")  # an open that waits for a writer would wait for ever
    with pytest.raises(TraceError, match="nothing writes to this pipe"):
        read(tmp_path / "pipe.csv")
    for name, content in (("march.cvs", b"cuont\n1\n"), ("march.cvs.gz", gzip.compress(b"cuont\n1\n"))):
        with pytest.raises(TraceError, match=r"unknown suffix '.cvs'.*did you mean '.csv'\?"):
            read(put(tmp_path / name, content))
    assert read(put(tmp_path / "march.cvs", "count\n1\n")) == of_counts(1)


def test_files_are_read_on_a_system_without_nonblocking_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.delattr("os.O_NONBLOCK")
    monkeypatch.delattr("os.set_blocking")
    assert read(put(tmp_path / "march.csv", "count\n1\n")) == of_counts(1)


@pytest.mark.parametrize(
    "content",
    [
        "count\n3\n0\n2\n",
        "requests\n3\n0\n2",
        "second,count\n0,3\n1,0\n2,2\n",
        "time_s , requests\r\n0,3\r\n1,0\r\n2,2\r\n\r\n",
        "\ufeffnote,count,second\n'a',3.0,0\n\"b, c\",0.0,1\n,2,2.0\n",
        '# a comment\n# another, with a " in it\ncount\n3\n0\n2\n',
    ],
)
def test_counts_are_read_from_csv(tmp_path: Path, content: str) -> None:
    trace = read(put(tmp_path / "load.csv", content))
    assert trace == of_counts(3, 0, 2)
    assert (trace.name, trace.source) == ("load", "load.csv")
    assert read(put(tmp_path / "load.csv.gz", gzip.compress(content.encode()))) == trace


@pytest.mark.parametrize("name", ["arrival_s", "timestamp_s"])
def test_timestamps_are_read_from_csv_sorted_and_never_shifted(tmp_path: Path, name: str) -> None:
    trace = read(put(tmp_path / "load.csv", f"id,{name}\n1,2.5\n2,0.75\n3,2.25\n"))
    assert trace == of_times(0.75, 2.25, 2.5, duration_s=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("count\n3\nabc\n", "line 3, column count: 'abc' is not a number"),
        ("second,count\n0,3\n1,\n", "line 3, column count: '' is not a number"),
        ("# note\n\ncount\n3\n", "line 2: no column of times"),
        ("# note\ncount\n3\n-1\n", "line 4, column count: -1 is negative"),
        ("second,count\n0,3\n2,3\n", "line 3, column second: 2 stands where second 1 is due"),
        ("arrival_s\n-0.5\n", "line 2, column arrival_s: -0.5 is negative"),
        ("arrival_s\n2024-01-01\n", "line 2, column arrival_s: '2024-01-01' is not a number"),
        ("second,count\n0,3\n1\n", "line 3: a row of 1 value under a header of 2: '1'"),
        ("second,count\n0,3\n1,2,9\n", "line 3: a row of 3 values under a header of 2: '1,2,9'; numbers are written"),
        ('arrival_s\n"0,5"\n', "line 2, column arrival_s: '0,5' is not a number; it has a decimal comma: write a"),
        ("count\n3\n\n2\n", "line 3: a row of 0 values under a header of 1"),
        ('count\n3\n"2\n', "line 3: not readable as CSV: unexpected end of data"),
        ('note,count\n"a\nb",3\nc,x\n', "line 4, column count: 'x' is not a number"),
        ("second;count\n0;3\n", "line 1: no column .* among 'second;count'"),
        ("second,cuont\n0,3\n", r"line 1: no column .* among 'second', 'cuont'; .* 'count'\?"),
        (
            "count,requests\n1,1\n",
            "line 1: more than one column of counts: 'count', 'requests'; say which, as --set read.count_column=",
        ),
        ("count,count\n1,1\n", "line 1: the column 'count' is given twice"),
        ("second,time_s,count\n0,0,1\n", "line 1: more than one column of times: 'second', 'time_s'; say which"),
        ("arrival_s\n", "no rows below the header"),
        ("# only a comment\n", "among none"),
        ("", "the file is empty"),
        (b"count\n3\n\xff\n", "line 3: not UTF-8 text"),
    ],
)
def test_csv_that_is_no_trace_is_refused_by_line_and_column(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = put(tmp_path / "load.csv", content)
    with pytest.raises(TraceError, match=message) as refusal:
        read(path)
    assert str(refusal.value).startswith(str(path))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("{", "line 1: not a JSON object"),
        ("[1]", r"line 1: not a JSON object: \[1\]"),
        ('{"duration": 3}', "line 1: unknown key 'duration'; did you mean 'duration_s'"),
        ('{"duration_s": "3"}', "line 1: duration_s is a number of seconds, not '3'"),
        ('{"duration_s": 1}', "1.5 is not before the end, 1 s"),
        ('{"history_counts": [1, -2]}', r"history_counts\[1\]: -2 is negative"),
        ('{"history_counts": 3}', "history_counts: expected one dimension"),
    ],
)
def test_facts_that_are_none_are_refused(tmp_path: Path, facts: str, message: str) -> None:
    path = put(tmp_path / "load.csv", f"# ipa-trace {facts}\narrival_s\n1.5\n")
    with pytest.raises(TraceError, match=message) as refusal:
        read(path)
    assert str(refusal.value).startswith(str(path))


def test_a_duration_that_contradicts_the_counts_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "load.csv", '# ipa-trace {"duration_s": 3}\ncount\n1\n2\n')
    with pytest.raises(TraceError, match="2 counts do not last 3 s"):
        read(path)


def put_parquet(path: Path, **columns: list[object]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)
    return path


def test_counts_and_timestamps_are_read_from_parquet(tmp_path: Path) -> None:
    path = tmp_path / "load.parquet"
    assert read(put_parquet(path, count=[3, 0, 2])) == of_counts(3, 0, 2)
    assert read(put_parquet(path, requests=[3.0, 0.0], time_s=[0, 1])) == of_counts(3, 0)
    assert read(put_parquet(path, id=["a", "b"], arrival_s=[1.5, 0.5])) == of_times(0.5, 1.5)
    packed = put(tmp_path / "load.parquet.xz", lzma.compress(path.read_bytes()))
    assert read(packed) == of_times(0.5, 1.5)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"count": [3, None]}, "row 2, column count: no value"),
        ({"count": ["3"]}, "column count: holds string, not plain numbers"),
        ({"second": [0, 2], "count": [1, 1]}, "row 2, column second: 2 stands where second 1"),
        ({"arival_s": [0.5]}, r"no column .* among 'arival_s'; did you mean 'arrival_s'\?"),
        ({"count": np.array([], int)}, "no rows below the header"),
    ],
)
def test_parquet_that_is_no_trace_is_refused_by_row_and_column(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    path = put_parquet(tmp_path / "load.parquet", **columns)
    with pytest.raises(TraceError, match=message) as refusal:
        read(path)
    assert str(refusal.value).startswith(str(path))


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    whole = put_parquet(tmp_path / "load.parquet", count=[1, 2, 3]).read_bytes()
    for content in (b"count\n1\n", whole[: len(whole) // 2]):
        with pytest.raises(TraceError, match=r"load.parquet: not readable as parquet"):
            read(put(tmp_path / "load.parquet", content))
    with pytest.raises(TraceError, match="the file is empty"):
        read(put(tmp_path / "load.parquet", b""))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(untimed, max_examples=30)
@given(trace=any_traces)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, suffix: str, trace: Trace) -> None:
    path = tmp_path_factory.mktemp("written") / f"load{suffix}"
    assert read(write(trace, path)) == trace
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_written_csv_is_plain_columns(tmp_path: Path) -> None:
    path = write(of_counts(3, 0), tmp_path / "load.csv")
    assert path.read_text() == "second,count\n0,3\n1,0\n"
    path = write(of_times(0.1, duration_s=2), tmp_path / "times.csv")
    assert path.read_text() == '# ipa-trace {"duration_s": 2.0}\narrival_s\n0.1\n'
    with write(of_counts(3, history=(1, 2)), tmp_path / "more.csv").open() as file:
        assert next(file) == '# ipa-trace {"history_counts": [1, 2]}\n'
        assert list(csv.DictReader(file)) == [{"second": "0", "count": "3"}]


def test_a_file_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    path = write(of_counts(1), tmp_path / "load.csv")
    with pytest.raises(TraceError, match=r"load.csv: already exists"):
        write(of_counts(2), path)
    assert read(path) == of_counts(1)
    write(of_counts(2), path, overwrite=True)
    assert read(path) == of_counts(2)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"unknown suffix '.parqet'.*did you mean '.parquet'\?"):
        write(of_counts(1), tmp_path / "load.parqet")
    with pytest.raises(TraceError, match="cannot be written: No such file or directory"):
        write(of_counts(1), tmp_path / "nowhere" / "load.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TraceError, match="cannot be written: Is a directory"):
        write(of_counts(1), tmp_path / "folder.csv", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


# Names


def test_a_name_is_found_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "bursty", "1 2 3")
    put(tmp_path / "plain", "4 5")
    assert find("bursty", seed=3) == traces.synthesise("bursty", 3)
    assert find("bursty") == traces.synthesise("bursty", 0)
    assert find("./bursty") == find(Path("bursty")) == of_counts(1, 2, 3)
    assert find("plain") == of_counts(4, 5)
    assert find(str(tmp_path / "plain")) == of_counts(4, 5)


def test_a_constant_load_is_found_by_rate_and_seconds() -> None:
    assert find("constant:25") == traces.constant(25)
    assert find("constant:2.5:60") == traces.constant(2.5, 60)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("burst", r"unknown trace 'burst': neither a file nor one of .*mean 'bursty'\?"),
        ("steady_low", r"did you mean 'steady-low'\?"),
        ("constant", r"constant:RATE.*did you mean 'constant:RATE'\?"),
        ("constant:many", "'constant:many': should be constant:RATE or constant:RATE:SECONDS"),
        ("constant:5:1.5", "'constant:5:1.5': should be constant:RATE"),
        ("constant:-1", "constant:-1: the rate should be a finite number above 0"),
        ("constant:5:0", "constant:5:0: should last from 1 to 100,000,000 s"),
        ("twitter:burst", r"unknown trace 'twitter:burst'; did you mean 'twitter:bursty'\?"),
        ("twitter:bursty", "set the environment variable IPA_TRACE"),
        ("nowhere.csv", "nowhere.csv: no such file"),
    ],
)
def test_a_name_that_means_nothing_is_answered_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        find(name)


def test_a_published_window_is_cut_from_the_file_given(tmp_path: Path) -> None:
    stream = np.arange(1_302_360) % 100
    path = put(tmp_path / "stream.txt", " ".join(map(str, stream)))
    trace = find("twitter:bursty", real=path)
    assert trace.per_second().tolist() == (stream[1301160:1302360] // 8).tolist()
    assert trace.history_counts.tolist() == (stream[1041960:1301160] // 8).tolist()
    assert trace.name == "twitter:bursty"
    assert trace.source == "stream.txt, seconds 1301160-1302360, x 0.125"
    with pytest.raises(TraceError, match="has seconds 0 to 1302360"):
        find("twitter:steady-high", real=path)


def test_the_environment_may_name_the_real_trace() -> None:
    assert traces.default_path({"IPA_TRACE": "data/real.txt.xz"}) == Path("data/real.txt.xz")
    assert traces.default_path({"IPA_TRACE": ""}) is None
    assert traces.default_path({}) is None


# Figures


def test_the_figures_of_a_trace_by_hand() -> None:
    figures = info(of_counts(1, 3, 1, 3, history=(9, 9)))
    assert figures["requests"] == 8
    assert figures["mean_rps"] == 2.0
    assert (figures["min_rps"], figures["max_rps"]) == (1, 3)
    assert figures["sd_rps"] == 1.0
    assert figures["change_sd_rps"] == pytest.approx(math.sqrt(32 / 9))  # of 2, -2, 2
    assert figures["peak_to_mean"] == 1.5
    assert figures["dispersion_index"] == 0.5
    assert figures["history_s"] == 2
    assert figures["empty_seconds"] == 0


def test_the_last_minute_is_averaged_over_what_there_is_of_it() -> None:
    assert info(of_counts(*[2] * 60, *[6] * 30))["minute_means_rps"] == [2.0, 6.0]


def test_figures_that_do_not_exist_are_none() -> None:
    figures = info(of_counts(0))
    assert figures["change_sd_rps"] is None
    assert figures["peak_to_mean"] is None
    assert figures["dispersion_index"] is None


@untimed
@given(any_traces)
def test_figures_are_json(trace: Trace) -> None:
    figures = info(trace)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
