"""docs/tuning.md says what there is."""

from __future__ import annotations

from ipa.studies.many.tuning import OUTCOMES
from tests.test_docs import DOCS


def test_every_outcome_is_documented() -> None:
    text = (DOCS / "tuning.md").read_text(encoding="utf-8")
    assert [name for name in OUTCOMES if f"`{name}`" not in text] == []
