"""Making what a store lacks: in chunks, each run once, in memory that does not grow with the number of runs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from ipa.studies import Scenario
from ipa.studies.many import FinishedRun, Making, PlannedRun, Ran, opened, run_missing, runner, summary_of
from ipa.studies.many.executor import Chunk, Done, make
from ipa.studies.many.runner import LARGEST_CHUNK

NOTHING = FinishedRun({"cost_mean_cores": 1.0})


class Instant:
    """A place where every run takes no time; one with `bad` in its key fails."""

    where, workers = "nowhere", 1

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def make(self, making: Making, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        for chunk in chunks:
            self.sizes.append(len(chunk))
            keep(Done([(each.key, "oh" if "bad" in each.key else NOTHING) for each in chunk], 0.0))


def asked(*keys: str) -> Iterator[PlannedRun]:
    return (PlannedRun(key, {}) for key in keys)


@pytest.mark.parametrize("looked_up", [1, 500])
def test_each_run_is_made_once_and_what_failed_is_tried_again_the_next_time(
    looked_up: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many keys are looked up at a time: what this very call has made was not there before."""
    monkeypatch.setattr(runner, "LOOKED_UP", looked_up)
    ended: list[bool] = []
    with opened(tmp_path / "store") as store:
        ran = run_missing(asked("a", "b", "a", "bad", "bad"), store, Instant(), summary_of, ended.append)
        assert ran == Ran(fresh=3, found=0, shared=2, failed=1)
        assert sorted(ended) == [False, False, False, False, True]
        assert run_missing(asked("a", "bad", "c"), store, Instant(), summary_of, ended.append) == Ran(2, 1, 0, 1)
        found = store.summaries(["a", "bad", "c", "d"])
        assert found == {"a": NOTHING.summary, "bad": "oh", "c": NOTHING.summary}


def test_chunks_of_short_runs_grow(tmp_path: Path) -> None:
    place = Instant()
    with opened(tmp_path / "store") as store:
        run_missing(asked(*map(str, range(1000))), store, place, summary_of, lambda _: None)
    assert place.sizes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 233]
    assert max(place.sizes) == LARGEST_CHUNK


def test_memory_does_not_grow_with_the_runs(tmp_path: Path) -> None:
    """Three times as many runs need as much, to a tenth of a megabyte; 10,000 keys alone would be one."""

    def peak_bytes(runs: int, name: str) -> int:
        with opened(tmp_path / name) as store:
            tracemalloc.start()
            run_missing((PlannedRun(f"{k:064}", {}) for k in range(runs)), store, Instant(), summary_of, lambda _: None)
            (_, peak) = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return peak

    peak_bytes(2_000, "warm")
    assert peak_bytes(9_000, "many") < peak_bytes(3_000, "few") + 100_000


def test_an_error_of_this_program_is_kept_with_its_place_and_the_others_are_made() -> None:
    good = Scenario(pipeline="video", trace="constant:5:20", records="none").as_dict()
    done = make(summary_of, "here", [PlannedRun("bad", {**good, "policy": {"name": 3}}), PlannedRun("good", good)])
    (_, bad), (_, fine) = done.ended
    assert isinstance(bad, str)
    assert bad.startswith("an error of this program, please report it: ")
    assert isinstance(fine, FinishedRun)
    assert fine.summary["requests"] == 100 or fine.summary["requests"] > 0
