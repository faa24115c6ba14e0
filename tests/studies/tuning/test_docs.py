"""docs/tuning.md says what there is."""

from __future__ import annotations

from ipa.policies import RANGES
from ipa.studies.many.tuning import OUTCOMES
from tests.test_docs import DOCS, named, table_rows


def test_every_range_and_every_outcome_is_documented() -> None:
    rows = table_rows("tuning.md", "What is varied", "| parameter")
    assert {named(row[0]): row[1] for row in rows} == RANGES
    text = (DOCS / "tuning.md").read_text(encoding="utf-8")
    assert [name for name in OUTCOMES if f"`{name}`" not in text] == []
