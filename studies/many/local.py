"""On this machine: worker processes, of which none outlives this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from ipa.studies import workers
from ipa.studies.many.runner import Chunk, Done, Kept, make


@dataclass(frozen=True)
class Local:
    """So many worker processes; one: this process itself."""

    workers: int

    @property
    def where(self) -> str:
        return f"{self.workers} process{'es' if self.workers > 1 else ''} of this machine"

    def make(self, kept: Kept, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Place.make`: an interrupt lets the chunks that have begun finish, a second one ends them."""
        workers.run_all(partial(make, kept, uuid4().hex), chunks, self.workers, lambda _, done: keep(done))
