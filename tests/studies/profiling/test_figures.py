"""What was measured as the figures of a file: as it is, or marked as what it is instead."""

from __future__ import annotations

from ipa.live.profiling import Point
from ipa.profiles.figures import grid_problem, row_problem
from ipa.studies.runs.profiling.figures import figures


def point(
    batch: int, mean_s: float, p99_s: float, throughput_rps: float, cores: int = 1
) -> tuple[tuple[int, int], Point]:
    """A point that is sure within 1 and 4 %."""
    measured = Point(
        "sort", "small", cores, batch, 400, mean_s, 0.01, p99_s, 0.04, 0, throughput_rps, 0.02, 0.001, 0.0, 0.0, ()
    )
    return (cores, batch), measured


def rows(*points: tuple[tuple[int, int], Point]) -> list[tuple[float, ...]]:
    """The figures, lawful all together: cores, batch, mean, p99, throughput."""
    made = figures(dict(points), "here")
    assert not any(map(row_problem, made))
    assert grid_problem(made) is None
    return [(each.cores, each.batch, each.mean_s, each.p99_s, each.throughput_rps) for each in made]


def test_what_is_lawful_stands_as_measured() -> None:
    made = figures(dict([point(1, 0.1, 0.12, 9.8), point(2, 0.15, 0.2, 13.0)]), "here")
    assert [(each.mean_s, each.p99_s, each.throughput_rps) for each in made] == [(0.1, 0.12, 9.8), (0.15, 0.2, 13.0)]
    assert {(each.mean_from, each.p99_from, each.throughput_from) for each in made} == {("here", "here", "here")}
    assert {(each.mean_within, each.p99_within) for each in made} == {(0.01, 0.04)}


def test_a_throughput_with_several_on_their_way_becomes_that_of_one_at_a_time() -> None:
    """12 a second were served, but one after another takes 0.1 s each."""
    made = figures(dict([point(1, 0.1, 0.12, 12.0)]), "here")
    assert (made[0].throughput_rps, made[0].throughput_from) == (10.0, "one-at-a-time")


def test_a_throughput_is_rounded_down() -> None:
    """1 / 0.15 = 6.66666...: 6.66667 would be more than batch / mean, be it measured or not."""
    assert rows(point(1, 0.3, 0.4, 5.0)) == [(1, 1, 0.3, 0.4, 3.33333)]
    assert rows(point(1, 0.15, 0.2, 9.0)) == [(1, 1, 0.15, 0.2, 6.66666)]
    assert rows(point(1, 0.15, 0.2, 6.6666664)) == [(1, 1, 0.15, 0.2, 6.66666)]


def test_a_p99_that_was_brought_to_the_largest_of_a_lognormal_is_lawful_when_it_is_rounded() -> None:
    """Rounded up in the sixth digit it would be above that, as it was for a third of these means."""
    for thousandth in range(1000, 1200):
        ((*_, mean_s, p99_s, _),) = rows(point(1, thousandth / 1e6, 1.0, 100.0))
        assert 14.87 < p99_s / mean_s < 14.88


def test_a_larger_batch_that_seemed_quicker_is_marked() -> None:
    """Batch 2 was measured at 0.09 s after 0.1 s for one."""
    made = figures(dict([point(1, 0.1, 0.12, 9.0), point(2, 0.09, 0.2, 13.0)]), "here")
    assert (made[1].mean_s, made[1].mean_from, made[1].mean_within) == (0.1, "not-falling", None)
    assert (made[1].p99_s, made[1].p99_from) == (0.2, "here")


def test_a_p99_that_no_lognormal_has_is_marked() -> None:
    wide, narrow = figures(dict([point(1, 0.1, 3.0, 9.0), point(1, 0.1, 0.08, 9.0, cores=2)]), "here")
    assert wide.p99_from == narrow.p99_from == "as-lognormal"
    assert (round(wide.p99_s, 3), narrow.p99_s) == (1.488, 0.1)


def test_a_point_that_was_ruled_out_goes_on_in_a_straight_line_and_is_marked() -> None:
    """On 1 core, 2 takes 0.3 s more than 1 and has 1.5 x its mean as p99: so 4 takes 0.6 s more than 2."""
    points = [
        point(1, 0.3, 0.4, 3.0),
        point(2, 0.6, 0.9, 3.2),
        *(point(b, 0.2 * b, 0.3 * b, 4.0, 2) for b in (1, 2, 4)),
    ]
    assert rows(*points)[2] == (1, 4, 1.2, 1.8, 3.33333)
    made = figures(dict(points), "here")
    assert {each.mean_from for each in made if (each.cores, each.batch) == (1, 4)} == {"ruled-out"}
    assert made[2].mean_within is None


def test_a_batch_that_was_measured_nowhere_is_not_there() -> None:
    assert [row[:2] for row in rows(point(1, 0.3, 0.4, 3.0), point(2, 0.6, 0.9, 3.0))] == [(1, 1), (1, 2)]
