"""docs/studies.md is true: every key of a study's file is documented."""

from __future__ import annotations

import re

from ipa.studies.many.study import schema
from tests.test_docs import named, table_rows


def test_every_key_of_a_study_is_documented() -> None:
    rows = table_rows("studies.md", "The file", "| key | default |")
    assert [named(row[0]) for row in rows] == list(schema.StudyFile.model_fields)
    rows = table_rows("studies.md", "The file", "| part | keys |")
    parts = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows}
    for part, model in (
        ("a setting", schema.Setting),
        ("a system", schema.System),
        ("an entry of `parameters`", schema.Parameters),
        ("a sweep", schema.Sweep),
        ("the headline", schema.Headline),
    ):
        assert set(model.model_fields) <= parts[part], part
