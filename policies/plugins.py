"""Finding a class by name or in a file (`path.py:Class`), and calling it with checked parameters.

Errors say what is allowed, and give file and line for a mistake in a file.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ipa.policies import checks
from ipa.policies.interface import PolicyError

Factory = Callable[..., Any]

GIVEN = {
    "decide": ("observation", "memory"),
    "forecast": ("observation", "horizon_s"),
    "predict": ("observation",),
}
"""What the methods of policies and predictors are called with."""

_USER_FILE = "user file "
"""How the name of the module of a user's file begins."""


def find(kind: str, name: str, built_in: Mapping[str, Factory], *methods: str) -> Factory:
    """The class called `name`, or that of a file, which must have one of `methods`; PolicyError: there is none."""
    if is_file(name):
        return from_file(name, *methods)
    checks.known(kind, [name], sorted(built_in))
    return built_in[name]


def is_file(spec: str) -> bool:
    """Whether a spec names a class in a file."""
    return spec.rpartition(":")[0].endswith(".py") or spec.endswith(".py")


def from_file(spec: str, *methods: str) -> Factory:
    """The class in `path.py:Class`, which must have `method`; PolicyError with file and line otherwise."""
    file, _, name = spec.rpartition(":")
    if not file or not name:
        raise PolicyError(f"{spec!r} names no class; write {spec.rstrip(':')}:ClassName")
    path = Path(file)
    module = _executed(path)
    own = {
        key: value
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    }
    if name not in vars(module):
        listed = ", ".join(own) or "none"
        raise PolicyError(f"{path}: no class {name!r}{checks.nearest(name, own)}; classes there: {listed}")
    plugin = vars(module)[name]
    where = f"{path}:{_line_of(plugin)}: {name}"
    if not any(callable(getattr(plugin, method, None)) for method in methods):
        raise PolicyError(f"{where} has no method {' or '.join(map(repr, methods))}")
    for method in methods:
        _check_arguments(plugin, method, f"{where}.{method}")
    return _callable(plugin, where)


def _check_arguments(plugin: Any, method: str, where: str) -> None:
    """Raise PolicyError for a method of a class that cannot be called with what it will be given."""
    if not inspect.isclass(plugin) or not callable(defined := getattr(plugin, method, None)):
        return
    is_bound = isinstance(inspect.getattr_static(plugin, method), staticmethod | classmethod)
    own_argument = () if is_bound else ("self",)
    try:
        inspect.signature(defined).bind(*own_argument, *GIVEN[method])
    except TypeError:
        raise PolicyError(f"{where} should take ({', '.join((*own_argument, *GIVEN[method]))})") from None
    except ValueError:
        pass  # written in C, without a signature


def call(subject: str, factory: Factory, *positional: Any, parameters: Mapping[str, Any]) -> Any:
    """`factory(*positional, **parameters)`; PolicyError for an unknown or a missing parameter, and for what it raises.

    A class that takes `**anything` may list the allowed names in `further_parameters`; otherwise it checks them itself.
    One that says nothing of its own also takes what its parent takes, to which it passes them on.
    """
    own, names, is_open = parameters_of(factory, len(positional))
    if not is_open:
        checks.known("parameter", parameters, names, suffix=f" of {subject}")
    _check_takes(subject, factory, positional)
    missing = [name for name, own_one in own.items() if own_one.default is own_one.empty and name not in parameters]
    if missing:
        raise PolicyError(f"{subject} needs the parameter {', '.join(missing)}")
    try:
        return factory(*positional, **parameters)
    except (PolicyError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PolicyError(f"{origin(error)}{subject}: {said(error)}") from error


def _check_takes(subject: str, factory: Factory, positional: tuple[Any, ...]) -> None:
    """Raise PolicyError for a class that cannot be created with what every one of its kind is given."""
    signature = _signature(factory)
    try:
        if signature is not None:
            signature.bind_partial(*positional)
    except TypeError:
        names = ", ".join(type(argument).__name__.lower() for argument in positional)
        where = place_of(factory) if isinstance(factory, type) else ""
        raise PolicyError(f"{where}{subject}: __init__ should take (self, {names})") from None


def _signature(factory: Factory) -> inspect.Signature | None:
    try:
        return inspect.signature(factory)
    except (TypeError, ValueError):
        return None  # written in C, without a signature


def parameters_of(factory: Factory, given: int) -> tuple[dict[str, inspect.Parameter], tuple[str, ...], bool]:
    """The constructor's own parameters after the `given` first ones, the names of all that it takes, those handed on to
    other classes last, and whether it takes any name at all."""
    signature = _signature(factory)
    if signature is None:
        return {}, (), True
    every = list(signature.parameters.values())
    usable = [each for each in every if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)][given:]
    own = {parameter.name: parameter for parameter in usable}
    hands_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in every)
    names = (*own, *getattr(factory, "further_parameters", ()))
    if hands_on and isinstance(factory, type) and "further_parameters" not in vars(factory):
        parent = next(base for base in factory.__mro__[1:] if "__init__" in vars(base))
        names += () if parent is object else parameters_of(parent, given)[1]
    return own, tuple(dict.fromkeys(names)), hands_on and not getattr(factory, "further_parameters", ())


def _executed(path: Path) -> ModuleType:
    """A new module with a file's code. It is in `sys.modules`, where dataclasses look it up, under its path."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
    module = ModuleType(_module_name(path))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        if b"\0" in source:  # Pythons before 3.11.4 call this a ValueError
            raise SyntaxError("source code string cannot contain null bytes")
        exec(compile(source, str(path), "exec"), vars(module))  # running the user's own file is the purpose
    except SyntaxError as error:
        raise PolicyError(f"{path}:{error.lineno or 1}: syntax error: {error.msg}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = origin(error) or f"{path}: "
        raise PolicyError(f"{where}{said(error)}") from error
    return module


def said(error: BaseException) -> str:
    """The type of an error and what it says, if it says anything."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def origin(error: BaseException) -> str:
    """'file:line: ' of the innermost frame in a user's file, or nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _module_name(Path(frame.filename)) in sys.modules:
            return f"{frame.filename}:{frame.lineno}: "
    return ""


@contextmanager
def blamed(where: str = "", policy: object = None) -> Iterator[None]:
    """Raises PolicyError, its text after `where`, for what goes wrong within in a user's own file, with the line.

    A PolicyError of ours is placed at the class of the policy, if that is in such a file. Code that asks the program to
    exit has failed too: it is not the one to end a run. An interrupt stays what it is, and so does a bug of this
    program, whose traceback is wanted.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise  # that is the user
    except BaseException as error:
        place = origin(error)
        if not place and not isinstance(error, PolicyError | SystemExit):
            raise
        text = str(error) if isinstance(error, PolicyError) else said(error)
        raise PolicyError(f"{where}{place or _place_within(policy)}{text}") from error


def _place_within(policy: object) -> str:
    """The place of a policy's class, or of that of the policy which it guards."""
    while policy is not None:
        if place := place_of(type(policy)):
            return place
        policy = getattr(policy, "policy", None)
    return ""


def place_of(kind: type) -> str:
    """'file:line: ' of a class in a user's file, or nothing."""
    module = sys.modules.get(kind.__module__)
    if module is None or not kind.__module__.startswith(_USER_FILE):
        return ""
    return f"{module.__file__}:{_line_of(kind)}: "


def _module_name(path: Path) -> str:
    return f"{_USER_FILE}{path.resolve()}"


def _line_of(thing: Any) -> int:
    try:
        return inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return 1


def _callable(plugin: Any, where: str) -> Factory:
    if not callable(plugin):
        raise PolicyError(f"{where} is not a class but a {type(plugin).__name__}")
    factory: Factory = plugin
    return factory
