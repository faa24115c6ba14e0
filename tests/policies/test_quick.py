"""Frozen dataclasses that are made quickly are what their class makes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from ipa.policies.quick import maker_of


@dataclass(frozen=True, slots=True)
class Value:
    one: int
    names: tuple[str, ...] = ()
    why: str | None = field(default=None, compare=False)


made = maker_of(Value)


def test_it_is_what_the_class_makes() -> None:
    assert made(1) == made(one=1, names=()) == made(1, why="not compared") == Value(1)
    assert (type(made(1)), made(1, ("a",)).names, made(1).why) == (Value, ("a",), None)
    assert hash(made(1)) == hash(Value(1))


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        made(1).one = 2  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        made(1).other = 2  # type: ignore[attr-defined]


def test_copies_are_equal() -> None:
    value = made(1, ("a", "b"))
    assert value == copy.deepcopy(value) == pickle.loads(pickle.dumps(value))
    assert replace(value, one=2) == Value(2, ("a", "b"))


def test_wrong_arguments_are_refused_as_by_the_class() -> None:
    with pytest.raises(TypeError, match=r"Value\(\) missing 1 required positional argument: 'one'"):
        made()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Value\(\) got an unexpected keyword argument 'two'"):
        made(1, two=2)  # type: ignore[call-arg]
