"""Which fault when: a pure function of seed, duration and surroundings."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIRST_S = 1.0
"""Before the first fault everything is well."""

Draw = Callable[[random.Random], Mapping[str, Any]]


def nothing(_: random.Random) -> Mapping[str, Any]:
    """No parameters."""
    return {}


@dataclass(frozen=True)
class Fault:
    """One fault: what happens to which part, from when and for how long, in seconds since the start of the load.

    A target is a part by its role, such as `replica`; which one of several is drawn as `pick`, from 0 to 1, among those
    that are there at that moment.
    """

    at_s: float
    kind: str
    target: str
    lasts_s: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(
            {"at_s": self.at_s, "kind": self.kind, "target": self.target, "lasts_s": self.lasts_s, **self.parameters}
        )


@dataclass(frozen=True)
class Kind:
    """A kind of fault that the surroundings offer.

    `weight`: how often it comes in one round of all faults. `lasts_s`: the shortest and the longest. `rests_s`: until
    the next fault, such as a restart takes. `draw` makes its parameters.
    """

    kind: str
    target: str
    weight: int = 1
    lasts_s: tuple[float, float] = (0.0, 0.0)
    rests_s: float = 0.0
    draw: Draw = nothing


def schedule(seed: int, seconds: float, kinds: Sequence[Kind], every_s: float) -> tuple[Fault, ...]:
    """Faults in order of time, all over within `seconds`; one begins every `every_s` on average.

    Kinds are dealt as from a deck of cards, each as often as its weight says before any comes again, so that a short
    schedule has as many of them as it can.
    """
    drawn = random.Random(seed)
    cards = _deal(kinds, drawn)
    faults, at_s = [], FIRST_S
    while at_s < seconds:
        kind = next(cards)
        lasts_s = round(min(drawn.uniform(*kind.lasts_s), seconds - at_s), 3)
        parameters = {"pick": round(drawn.random(), 6), **kind.draw(drawn)}
        faults.append(Fault(round(at_s, 3), kind.kind, kind.target, lasts_s, parameters))
        at_s += kind.rests_s + drawn.expovariate(1.0 / every_s)
    return tuple(faults)


def _deal(kinds: Sequence[Kind], drawn: random.Random) -> Iterator[Kind]:
    while True:
        deck = [kind for kind in kinds for _ in range(kind.weight)]
        drawn.shuffle(deck)
        yield from deck


def lines(faults: Sequence[Fault]) -> str:
    """A schedule as JSON lines."""
    return "".join(f"{fault.line()}\n" for fault in faults)


def read(path: Path) -> tuple[Fault, ...]:
    """A schedule from a file of JSON lines. Raises ValueError, naming the line, for anything else."""
    faults = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            given = json.loads(line)
            known = {key: given.pop(key) for key in ("at_s", "kind", "target", "lasts_s")}
        except (ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}:{number}: not a fault: {line!r} ({error!r})") from None
        faults.append(Fault(**known, parameters=given))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))
