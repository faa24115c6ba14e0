"""What is said of a validation."""

from __future__ import annotations

from dataclasses import replace

from ipa.studies.validation import sentences
from ipa.studies.validation.overheads import MeasuredDelay, Overheads


def test_a_batch_that_is_quicker_than_its_profile_has_one_sign() -> None:
    none = MeasuredDelay(0.0, 0.0, 0.0, 0)
    found = Overheads(MeasuredDelay(-0.4394, 0.0, 0.0, 3), none, none, none, none, none, {}, {})
    assert sentences.overheads(found) == "Measured on other seconds: a batch -439.4 ms"
    slower = replace(found, dispatch_overhead_s=MeasuredDelay(0.0011, 0.0, 0.0, 3))
    assert sentences.overheads(slower) == "Measured on other seconds: a batch +1.1 ms"
