"""A Triton ensemble (config.pbtxt) as a pipeline file: its steps are stages, and tensors' names say what is after what.

A step waits for all of its inputs, so one after several others joins them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipa.profiles.errors import ProfileError
from ipa.profiles.skeleton import Bone, Imported, Names, imported

Message = dict[str, list[Any]]
"""A message of a text protobuf: field -> its values; a nested message is another. `:line`: where it begins."""


def from_triton(path: Path) -> Imported:
    """The pipeline file of an ensemble's configuration. ProfileError for what is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ProfileError(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or 'not text'}") from None
    try:
        config = _Parser(str(path), text).message()
    except RecursionError:
        raise ProfileError(f"{path}: nested too deeply") from None
    steps = [step for schedule in config.get("ensemble_scheduling", []) for step in _messages(schedule, "step")]
    if not steps:
        platform = _first(config, "platform", "none")
        raise ProfileError(f"{path}: is no ensemble: it has no steps of ensemble_scheduling; platform: {platform}")
    read = _steps(path, steps)
    name = str(_first(config, "name", path.parent.resolve().name))
    bones = [_bone(step, read) for step in read]
    return imported(name, path.name, bones, [*_unsaid(config, read), *_nested(path, read)])


@dataclass(frozen=True)
class _Step:
    """A step: its stage, its model, and tensors of the ensemble -> the model's own names of them."""

    stage: str
    model: str
    inputs: dict[str, str]
    outputs: dict[str, str]

    def parents(self, steps: Sequence[_Step]) -> list[_Step]:
        return [each for each in steps if any(tensor in each.outputs for tensor in self.inputs)]


def _steps(path: Path, messages: Sequence[Message]) -> list[_Step]:
    names, found = Names(), []
    made: dict[str, str] = {}
    for message in messages:
        model = _first(message, "model_name", "")
        if not isinstance(model, str) or not model:
            raise ProfileError(f"{path}:{message[':line'][0]}: step: model_name is missing")
        tensors = {key: _tensors(path, message, key) for key in ("input_map", "output_map")}
        for tensor in tensors["output_map"]:
            if tensor in made:
                at = f"{path}:{message[':line'][0]}: output_map"
                raise ProfileError(
                    f"{at}: {made[tensor]} gives the tensor {tensor!r} already; each comes from one step"
                )
            made[tensor] = model
        found.append(_Step(names.new(model), model, tensors["input_map"], tensors["output_map"]))
    return found


def _tensors(path: Path, step: Message, key: str) -> dict[str, str]:
    found = {}
    for entry in _messages(step, key):
        if not (entry.get("key") and entry.get("value")):
            raise ProfileError(f"{path}:{entry[':line'][0]}: {key}: should have a key and a value")
        found[str(entry["value"][0])] = str(entry["key"][0])
    return found


def _bone(step: _Step, steps: Sequence[_Step]) -> Bone:
    parents = step.parents(steps)
    inputs = {}
    if len(parents) == 1:
        shared = [tensor for tensor in step.inputs if tensor in parents[0].outputs]
        inputs = {step.inputs[tensor]: parents[0].outputs[tensor] for tensor in shared}
    return Bone(
        name=step.stage,
        task=f"runs {step.model}",
        variant=Names().new(step.model),
        after=[{"stage": parent.stage} for parent in parents],
        joins=len(parents) > 1,
        inputs=inputs if any(of_input != output for of_input, output in inputs.items()) else {},
    )


def _unsaid(config: Message, steps: Sequence[_Step]) -> Iterator[str]:
    made = {tensor for step in steps for tensor in step.outputs}
    for step in steps:
        parents = step.parents(steps)
        given = [tensor for tensor in step.inputs if tensor not in made]
        if parents and given:
            yield f"{step.stage}: takes the client's {', '.join(given)} beside what the stages before it give"
        if len(parents) > 1:
            yield f"{step.stage}: which of its inputs comes from which stage"
    for key in ("dynamic_batching", "max_queue_size", "response_cache"):
        if key in config:
            yield f"{key}: policies choose batches and replicas"


def _nested(path: Path, steps: Sequence[_Step]) -> Iterator[str]:
    """Steps that are ensembles themselves, where their files lie beside this one, as in a repository of models."""
    for step in steps:
        config = path.resolve().parent.parent / step.model / "config.pbtxt"
        if os.path.isfile(config) and "ensemble_scheduling" in config.read_text(encoding="utf-8", errors="replace"):
            yield f"{step.stage}: is an ensemble itself: import {config.name} of {step.model} and put its stages here"


def _first(message: Message, key: str, otherwise: str) -> Any:
    """The first value of a field; `[]` has none."""
    return next(iter(message.get(key, [])), otherwise)


def _messages(message: Any, key: str) -> list[Message]:
    return [each for each in message.get(key, []) if isinstance(each, dict)] if isinstance(message, dict) else []


# ---- text protobuf ----

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<token>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[\w.+-]+|[{}\[\]<>:,;])""")


class _Parser:
    """Reads the text of one message."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._tokens: list[tuple[str, int]] = []
        place, line = 0, 1
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ProfileError(f"{path}:{line}: not a text protobuf: {text[place : place + 20].split()[0]!r}")
            if match["token"]:
                self._tokens.append((match["token"], line))
            place, line = match.end(), line + match[0].count("\n")
        self._at = 0

    def message(self, end: str = "") -> Message:
        """The fields up to `end`; empty: all that there are."""
        found: Message = {":line": [self._line]}
        while self._peek != end:
            name = self._next()
            if not re.fullmatch(r"\w+", name):
                raise self._error(f"a field's name should be here, not {name!r}")
            if self._peek == ":":
                self._next()
            found.setdefault(name, []).extend(self._values())
            if self._peek in (",", ";"):
                self._next()
        if end:
            self._next()
        return found

    def _values(self) -> list[Any]:
        if self._peek != "[":
            return [self._value()]
        self._next()
        values = []
        while self._peek != "]":
            values.append(self._value())
            if self._peek == ",":
                self._next()
        self._next()
        return values

    def _value(self) -> Any:
        token = self._next()
        if token in ("{", "<"):
            return self.message("}" if token == "{" else ">")
        if token in ("}", ">", "]", "[", ":", ",", ";"):
            raise self._error(f"a value should be here, not {token!r}")
        return token[1:-1] if token[0] in "\"'" else token

    @property
    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    @property
    def _line(self) -> int:
        return self._tokens[min(self._at, len(self._tokens) - 1)][1] if self._tokens else 1

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise self._error("ends in the middle of a message")
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _error(self, text: str) -> ProfileError:
        return ProfileError(f"{self._path}:{self._tokens[max(self._at - 1, 0)][1] if self._tokens else 1}: {text}")
