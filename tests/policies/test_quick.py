"""Frozen dataclasses that are made quickly behave as any frozen dataclass."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace
from typing import get_type_hints

import pytest

from ipa.policies.quick import made_quickly


@made_quickly
@dataclass(frozen=True, slots=True)
class Quick:
    one: int
    names: tuple[str, ...] = ()
    why: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Usual:
    one: int
    names: tuple[str, ...] = ()
    why: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Further(Quick):
    two: int = 2


def test_it_has_what_it_was_given() -> None:
    assert Quick(1) == Quick(one=1, names=()) == Quick(1, why="not compared")
    assert (Quick(1, ("a",)).names, Quick(1).why, repr(Quick(1))) == (("a",), None, "Quick(one=1, names=(), why=None)")
    assert type(Quick(1)) is Quick
    assert hash(Quick(1)) == hash(Quick(1))


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Quick(1).one = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del Quick(1).one
    with pytest.raises((AttributeError, TypeError)):
        Quick(1).other = 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_are_equal(again: object) -> None:
    made = Quick(1, ("a", "b"))
    assert callable(again)
    assert again(made) == made
    assert replace(made, one=2) == Quick(2, ("a", "b"))
    assert asdict(made) == {"one": 1, "names": ("a", "b"), "why": None}


def test_it_is_made_with_the_same_arguments() -> None:
    assert str(inspect.signature(Quick)) == str(inspect.signature(Usual))
    assert get_type_hints(Quick.__init__) == get_type_hints(Usual.__init__)
    with pytest.raises(TypeError, match=r"Quick\.__init__\(\) missing 1 required positional argument: 'one'"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Quick\.__init__\(\) got an unexpected keyword argument 'two'"):
        Quick(1, two=2)  # type: ignore[call-arg]


def test_classes_that_inherit_from_it_are_made_as_usual() -> None:
    made = Further(1, two=3)
    assert (made.one, made.names, made.two, type(made)) == (1, (), 3, Further)
    with pytest.raises(FrozenInstanceError):
        made.one = 2  # type: ignore[misc]


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
            made_quickly(kind)
