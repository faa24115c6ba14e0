"""The base of the models of files: scenarios, pipelines, and how a log is read.

A model refuses unknown keys, coercions, NaN and infinities, and takes numbers with a unit as text, such as `500 ms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from ipa.errors import did_you_mean
from ipa.numbers import in_own_unit, pattern_of


class FileModel(BaseModel):
    """The base of the models of files. It refuses unknown keys, coercions, NaN and infinities."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        populate_by_name=False,
        defer_build=True,  # only what a file is read with is built, when it is first read
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        keys = [field.alias or name for name, field in cls.model_fields.items()]
        for key in data if isinstance(data, dict) else ():
            if key not in keys:
                raise refusal(
                    f"unknown key{cls._nearest(key, keys)}; allowed: {', '.join(keys)}",
                    key,
                )
        return data

    @model_validator(mode="before")
    @classmethod
    def _in_own_units(cls, data: Any) -> Any:
        """Texts like `500 ms` and `45 %` as the numbers that they are in the unit of their key."""
        if not isinstance(data, dict):
            return data
        names = _of_numbers(cls)
        return {key: in_own_unit(value, key) if key in names else value for key, value in data.items()}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        fields = handler.resolve_ref_schema(schema).get("properties", {})
        for name in _of_numbers(cls) & fields.keys():
            fields[name] = _or_with_unit(fields[name], name)
        return schema

    @classmethod
    def _nearest(cls, key: str, keys: Sequence[str]) -> str:
        """The key nearest to an unknown one, in the words of `did_you_mean`."""
        return did_you_mean(key, keys)


@cache
def _of_numbers(model: type[BaseModel]) -> frozenset[str]:
    """The keys of a model that hold numbers, perhaps in lists and mappings."""

    def holds(annotation: Any) -> bool:
        return annotation in (int, float) or any(map(holds, get_args(annotation)))

    return frozenset(field.alias or name for name, field in model.model_fields.items() if holds(field.annotation))


def _or_with_unit(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """A key's schema that lets its numbers be texts with a unit too."""
    kind = schema.get("type")
    if kind in ("number", "integer"):
        return {**schema, "type": [kind, "string"], "pattern": pattern_of(name)}
    inside: dict[str, Any] = {
        key: _or_with_unit(schema[key], name)
        for key in ("items", "additionalProperties")
        if isinstance(schema.get(key), dict)
    }
    if "anyOf" in schema:
        inside["anyOf"] = [_or_with_unit(alternative, name) for alternative in schema["anyOf"]]
    return {**schema, **inside}


def refusal(text: str, *at: str | int) -> PydanticCustomError:
    """An error for a validator to raise: its complete text, and where it is below the validated value."""
    return PydanticCustomError("refused", "{text}", {"text": text, "at": at})
