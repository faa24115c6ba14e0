"""Frozen dataclasses that are made quickly are what their class makes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace

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
    assert (made(1, ("a",)).names, made(1).why, repr(made(1))) == (("a",), None, "Value(one=1, names=(), why=None)")
    assert type(made(1)) is Value
    assert hash(made(1)) == hash(Value(1))


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        made(1).one = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del made(1).one
    with pytest.raises((AttributeError, TypeError)):
        made(1).other = 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_are_equal(again: object) -> None:
    value = made(1, ("a", "b"))
    assert callable(again)
    assert again(value) == value
    assert replace(value, one=2) == Value(2, ("a", "b"))
    assert asdict(value) == {"one": 1, "names": ("a", "b"), "why": None}


def test_wrong_arguments_are_refused_as_by_the_class() -> None:
    with pytest.raises(TypeError, match=r"Value\(\) missing 1 required positional argument: 'one'"):
        made()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Value\(\) got an unexpected keyword argument 'two'"):
        made(1, two=2)  # type: ignore[call-arg]


def test_a_class_with_more_than_plain_fields_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Listing:
        names: list[str] = field(default_factory=list)

    @dataclass(frozen=True, slots=True)
    class Checking:
        one: int

        def __post_init__(self) -> None:
            raise AssertionError

    for kind in (Listing, Checking):
        with pytest.raises(TypeError, match=f"{kind.__name__} has more than plain fields"):
            maker_of(kind)


def test_a_class_whose_slots_are_not_its_fields_is_refused() -> None:
    @dataclass(frozen=True)
    class Open:
        one: int

    @dataclass(frozen=True, slots=True)
    class Further(Value):
        two: int = 2

    for kind in (Open, Further):
        with pytest.raises(TypeError, match=f"{kind.__name__} has other slots than its fields"):
            maker_of(kind)
