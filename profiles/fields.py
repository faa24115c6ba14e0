"""The fields of a pipeline file: names, numbers in range, and the shorthands of its mappings."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from ipa.models import refusal

MOST_LETTERS = 63
"""In a name: as many as a label of Kubernetes has."""

_SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"


def _slug(name: str) -> str:
    if len(name) > MOST_LETTERS or not re.fullmatch(_SLUG, name):
        raise refusal(
            "should be a simple name of lower-case letters, digits and single hyphens, "
            f"of at most {MOST_LETTERS} characters; given {name!r}"
        )
    return name


def _null_for_rule(value: Any) -> Any:
    if value == "rule":
        return None
    if isinstance(value, dict):
        return value
    raise refusal(f"should be `rule`, or a mapping of a pinned value and why; given {value!r}")


def _one_for_all(value: Any) -> Any:
    return dict.fromkeys(("mean", "p99", "throughput"), value) if isinstance(value, str) else value


def _number_or_output(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if (is_number and 0 <= value <= 4096) or (isinstance(value, str) and value):
        return value
    raise refusal(
        "should be the rows for each row of the input, from 1 to 4096, 0 for any number of a stage without batches, "
        f"or the name of the output that has their number for each; given {value!r}"
    )


class Or:
    """In the JSON schema: a shorthand beside the mapping that it stands for."""

    def __init__(self, shorthand: dict[str, Any]) -> None:
        self.shorthand = shorthand

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        return {"anyOf": [self.shorthand, schema["anyOf"][0] if "anyOf" in schema else schema]}


Slug = Annotated[
    str,
    AfterValidator(_slug),
    WithJsonSchema({"type": "string", "pattern": f"^{_SLUG}$", "maxLength": MOST_LETTERS}),
]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=4096)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Rate = Annotated[float, Field(gt=0, le=1e9)]
Weight = Annotated[float, Field(ge=0, le=1e9)]

RowCount = Annotated[Annotated[int, Field(ge=0, le=4096)] | Text, BeforeValidator(_number_or_output)]
"""Rows of an output for each row of the input: so many, or as many as another output says; 0: any number."""

RULE_OR_NULL = BeforeValidator(_null_for_rule)
"""For `Pinned | None`: the word `rule` stands for None, the value that the published rule gives."""

OR_RULE = Or({"const": "rule"})

ONE_FOR_ALL = BeforeValidator(_one_for_all)
"""For a row's provenance: one key alone stands for all three numbers."""

OR_TEXT = Or({"type": "string"})
