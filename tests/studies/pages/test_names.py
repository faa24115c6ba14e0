"""Where the names of points go."""

from ipa.studies.pages.plane import Mark, choose_sides


def test_names_stay_clear_of_bars_and_of_each_other() -> None:
    """Bars across push a name above, the right edge pushes one to the left, neighbours take a side each."""
    across = Mark(x=5.0, y=5.0, x_half=2.0, y_half=0.0, radius=5.0, name_width=100.0)
    edge = Mark(x=9.9, y=2.0, x_half=0.0, y_half=0.0, radius=5.0, name_width=100.0)
    neighbours = [Mark(x=x, y=8.0, x_half=0.0, y_half=0.0, radius=5.0, name_width=100.0) for x in (4.0, 4.3)]
    assert choose_sides([across, edge], (0.0, 10.0), (0.0, 10.0), 400.0) == [(0, 1), (-1, 0)]
    assert choose_sides(neighbours, (0.0, 10.0), (0.0, 10.0), 400.0) == [(-1, 0), (1, 0)]
