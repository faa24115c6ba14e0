"""An InferenceGraph of KServe as a pipeline file: each step that calls a service becomes a stage.

    Sequence   each step comes after the one before; a `condition` is a share of its items
    Ensemble   its steps come after the same stage; what follows joins all of them
    Splitter   edges of one switch, with the weights as shares
    Switch     the same; the shares, which are up to the requests, are left to fill in

A router before the first service becomes a stage of its own, as there is no stage whose items it could split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ipa.profiles.errors import ProfileError, did_you_mean, listed
from ipa.profiles.skeleton import Bone, Imported, Names, imported
from ipa.profiles.yaml_file import Document, Loc, parse_yaml

MOST_STAGES = 200
"""Nodes that others call several times each can stand for any number of stages."""

_ROUTERS = ("Sequence", "Ensemble", "Splitter", "Switch")
_UNSAID = {
    "timeoutConfig": "time limits: requests are dropped by age, see drop_limit_s",
    "timeout": "time limits: requests are dropped by age, see drop_limit_s",
    "affinity": "where pods run",
    "tolerations": "where pods run",
    "nodeSelector": "where pods run",
    "resources": "the router's own resources",
    "minReplicas": "the router's own replicas",
    "maxReplicas": "the router's own replicas",
}
"""Keys of the spec that a pipeline file has no place for."""


@dataclass(frozen=True)
class _Head:
    """The place to attach the next stage: a stage, its share of the items, and whether it joins others."""

    stage: str
    keys: Mapping[str, object] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    is_joined: bool = False


def from_kserve(path: Path) -> Imported:
    """The pipeline file of the first InferenceGraph in a YAML file. ProfileError for what is none."""
    document = _graph_in(path)
    spec = document.data.get("spec")
    if not isinstance(spec, dict):
        raise ProfileError(document.error_at(("spec",), "should be a mapping with the graph's nodes"))
    nodes = spec.get("nodes")
    if not isinstance(nodes, dict) or not isinstance(nodes.get("root"), dict):
        raise ProfileError(document.error_at(("spec", "nodes"), "should have a node called 'root'"))
    reader = _Reader(document, nodes)
    try:
        reader.node("root", (), ("spec", "nodes", "root"))
    except RecursionError:
        raise ProfileError(document.error_at(("spec", "nodes"), "nodes call each other too deeply")) from None
    metadata = document.data.get("metadata")
    name = str(metadata.get("name", path.stem)) if isinstance(metadata, dict) else path.stem
    unsaid = [f"spec.{key}: {_UNSAID[key]}" for key in spec if key in _UNSAID]
    return imported(name, path.name, reader.bones, [*reader.unsaid, *unsaid])


def _graph_in(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ProfileError(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or 'not text'}") from None
    line, kinds, wrong = 0, [], None
    for part in re.split(r"^---.*$", text, flags=re.MULTILINE):
        if re.search(r"^\s*[^\s#]", part, flags=re.MULTILINE):
            try:
                document = parse_yaml("\n" * line + part, str(path))
            except ProfileError as error:  # of another document that is read by others, with anchors or a list
                wrong = wrong or error
            else:
                kinds.append(str(document.data.get("kind")))
                if kinds[-1] == "InferenceGraph":
                    return document
        line += part.count("\n")
    if wrong:
        raise wrong
    raise ProfileError(f"{path}: has no InferenceGraph; kinds: {listed(kinds) or 'none'}")


class _Reader:
    """Walks the nodes from the root, noting a stage for each service."""

    def __init__(self, document: Document, nodes: Mapping[str, Any]) -> None:
        self.bones: list[Bone] = []
        self.unsaid: list[str] = []
        self._document, self._nodes, self._names = document, nodes, Names()
        self._open: list[str] = []

    def node(self, name: str, heads: Sequence[_Head], at: Loc) -> list[_Head]:
        """Attach a node; where what follows it is attached."""
        if name not in self._nodes:
            raise self._error(at, f"no node is called {name!r}{did_you_mean(name, self._nodes)}")
        if name in self._open:
            raise self._error(at, f"a circle: {' -> '.join([*self._open, name])}")
        here: Loc = ("spec", "nodes", name)
        node = self._nodes[name]
        router, steps = (node.get(key) if isinstance(node, dict) else None for key in ("routerType", "steps"))
        if router not in _ROUTERS:
            raise self._error((*here, "routerType"), f"should be {' or '.join(_ROUTERS)}; given {router!r}")
        if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
            raise self._error((*here, "steps"), "should be a list of steps")
        self._open.append(name)
        found = list(getattr(self, f"_{router.lower()}")(name, steps, list(heads), (*here, "steps")))
        self._open.pop()
        return found

    def _sequence(self, name: str, steps: Sequence[Any], heads: list[_Head], at: Loc) -> list[_Head]:
        for index, step in enumerate(steps):
            if "condition" in step:
                heads = self._conditional(heads, step, name)
            heads = self._step(step, heads, (*at, index))
        return heads

    def _conditional(self, heads: list[_Head], step: Mapping[str, Any], name: str) -> list[_Head]:
        self.unsaid.append(f"{name}: condition {step['condition']!r}: give the share of the items that meet it")
        if len(heads) != 1 or heads[0].keys:
            heads = [self._router(name, heads)]
        return [replace(head, keys={"share": 0.5}, guessed=("share",)) for head in heads]

    def _ensemble(self, name: str, steps: Sequence[Any], heads: list[_Head], at: Loc) -> Iterator[_Head]:
        if any(head.keys for head in heads):  # its steps go together, and draws of several edges would differ
            heads = [self._router(name, heads)]
        for index, step in enumerate(steps):
            for head in self._step(step, heads, (*at, index)):
                yield replace(head, is_joined=len(steps) > 1 or head.is_joined)

    def _splitter(self, name: str, steps: Sequence[Any], heads: list[_Head], at: Loc) -> Iterator[_Head]:
        weights = [step.get("weight") for step in steps]
        for index, weight in enumerate(weights):
            if not (type(weight) is int and weight > 0):
                text = f"a step of a Splitter should have a weight, a whole number above 0; given {weight!r}"
                raise self._error((*at, index, *(["weight"] if "weight" in steps[index] else [])), text)
        shares = [weight / sum(weights) for weight in weights]
        return self._one_of(name, steps, heads, at, shares, is_guess=False)

    def _switch(self, name: str, steps: Sequence[Any], heads: list[_Head], at: Loc) -> Iterator[_Head]:
        for step in steps:
            if "condition" in step:
                self.unsaid.append(f"{name}: condition {step['condition']!r}: give the share of the items that meet it")
        return self._one_of(name, steps, heads, at, [1 / len(steps)] * len(steps), is_guess=True)

    def _one_of(
        self, name: str, steps: Sequence[Any], heads: list[_Head], at: Loc, shares: Sequence[float], is_guess: bool
    ) -> Iterator[_Head]:
        if len(heads) != 1 or (heads[0].keys and "switch" not in heads[0].keys):
            heads = [self._router(name, heads)]
        for index, (step, share) in enumerate(zip(steps, shares, strict=True)):
            yield from self._step(step, [_chosen(heads[0], share, name, is_guess)], (*at, index))

    def _step(self, step: Mapping[str, Any], heads: Sequence[_Head], at: Loc) -> list[_Head]:
        if "nodeName" in step:
            return self.node(str(step["nodeName"]), heads, (*at, "nodeName"))
        service = step.get("serviceName") or step.get("serviceUrl")
        if not isinstance(service, str):
            raise self._error(at, "should have a serviceName, serviceUrl or nodeName")
        called = re.sub(r"^\w+://|[.:/].*$", "", service) if "serviceName" not in step else service
        return [self._stage(str(step.get("name") or called), f"calls {service}", called, heads)]

    def _router(self, name: str, heads: Sequence[_Head] = ()) -> _Head:
        self.unsaid.append(f"{name}: stands for the router, which takes next to no time; figures near 0 will do")
        return self._stage(name, f"routes what comes to {name}", name, heads)

    def _stage(self, name: str, task: str, variant: str, heads: Sequence[_Head]) -> _Head:
        if len(self.bones) == MOST_STAGES:
            raise self._error(("spec", "nodes"), f"should call services at most {MOST_STAGES} times in all")
        bone = Bone(
            name=self._names.new(name),
            task=task,
            variant=Names().new(variant),
            after=[{"stage": head.stage, **head.keys} for head in heads],
            joins=len(heads) > 1 and any(head.is_joined for head in heads),
            guessed=[key for head in heads for key in head.guessed],
        )
        self.bones.append(bone)
        return _Head(bone.name)

    def _error(self, at: Loc, text: str) -> ProfileError:
        return ProfileError(self._document.error_at(at, text))


def _chosen(head: _Head, share: float, switch: str, is_guess: bool) -> _Head:
    """The head of a step of a switch; a switch within a switch is one with the product of the shares."""
    before = head.keys.get("share", 1.0)
    assert isinstance(before, float)
    keys = {"share": float(f"{before * share:.10g}"), "switch": head.keys.get("switch", Names().new(switch))}
    return replace(head, keys=keys, guessed=("share",) if is_guess else head.guessed)
