"""Frozen dataclasses that are made in half the time, for what every control step of a sweep makes."""

from __future__ import annotations

import sys
from dataclasses import MISSING, fields
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def made_quickly(frozen: C) -> C:
    """The same `dataclass(frozen=True, slots=True)`, with an `__init__` that sets its fields as any other class does.

    The usual one calls `object.__setattr__` for each field, past the class's own refusal to set any. This one lets the
    instance be of an open class with the same slots until they are set. Instances of subclasses are made as usual.

    TypeError: a class with a field that is no plain argument, or with more to do after its fields are set.
    """
    kind: Any = frozen
    plain = [field.init and not field.kw_only and field.default_factory is MISSING for field in fields(kind)]
    if not all(plain) or hasattr(kind, "__post_init__"):
        raise TypeError(f"{kind.__name__} has more than plain fields")
    names = [field.name for field in fields(kind)]
    defaults = {f"_default_{field.name}": field.default for field in fields(kind) if field.default is not MISSING}
    arguments = [f"{name}=_default_{name}" if f"_default_{name}" in defaults else name for name in names]
    lines = [
        f"def maker(_frozen, _opened, _set, _as_usual{''.join(f', {name}' for name in defaults)}):",
        f" def __init__(self, {', '.join(arguments)}):",
        "  if self.__class__ is not _frozen:",
        f"   return _as_usual(self, {', '.join(names)})",
        "  _set(self, '__class__', _opened)",
        *(f"  self.{name} = {name}" for name in names),
        "  self.__class__ = _frozen",
        " return __init__",
    ]
    opened = type(kind.__name__, (), {"__slots__": tuple(names)})
    given: dict[str, Any] = {}
    exec("\n".join(lines), vars(sys.modules[kind.__module__]), given)  # where its annotations mean something
    made = given["maker"](kind, opened, object.__setattr__, kind.__init__, **defaults)
    made.__qualname__, made.__annotations__ = f"{kind.__qualname__}.__init__", kind.__init__.__annotations__
    kind.__init__ = made
    return frozen
