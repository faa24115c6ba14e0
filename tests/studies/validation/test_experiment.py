"""Which seconds are compared, and on which others overheads are measured."""

from __future__ import annotations

from typing import Any

import pytest

from ipa.studies import Scenario, ScenarioError
from ipa.studies.validation.experiment import design

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_the_compared_seconds_have_the_greatest_rise_and_the_calibration_is_on_others() -> None:
    """Bursty: 5 rps until second 360, then 14, then 27."""
    experiment = design(Scenario(pipeline="video", trace="bursty"))
    ((start_s, end_s),) = experiment.compared.window or ()
    assert end_s - start_s == 120
    assert start_s < 360 < 420 < end_s
    ((from_s, to_s),) = experiment.calibration.window or ()
    assert to_s - from_s == 90
    assert to_s <= start_s or from_s >= end_s


@pytest.mark.parametrize(
    ("window", "duration_s", "compared"),
    [("0:90", None, 90), ("0:900", 60, 60), (None, 30, 30)],
)
def test_duration_and_window_say_how_long(window: str | None, duration_s: int | None, compared: int) -> None:
    base = Scenario(pipeline="video", trace="bursty").with_values({"window": window})
    ((start_s, end_s),) = design(base, duration_s).compared.window or ()
    assert end_s - start_s == compared
    if window == "0:900":
        assert end_s <= 900


@pytest.mark.parametrize(
    ("base", "duration_s", "calibration", "said"),
    [
        ({"trace": "constant:5:130"}, None, None, "overheads are measured on 20 others"),
        ({"trace": "constant:5:100"}, None, None, "has no 120 seconds in a row"),
        ({"trace": "bursty", "window": "0:100"}, 200, None, "0:100 of bursty has no 200 seconds"),
        ({"trace": "bursty", "window": "0:100"}, None, ((90.0, 150.0),), "overlaps the seconds that are compared"),
        ({"trace": "bursty", "records": "none"}, None, None, "use records: all"),
    ],
)
def test_seconds_that_cannot_be(base: dict[str, Any], duration_s: Any, calibration: Any, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        design(Scenario(pipeline="video").with_values(base), duration_s, calibration)
