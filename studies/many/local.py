"""On this machine: worker processes, of which none outlives this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from uuid import uuid4

from ipa.studies.many import workers
from ipa.studies.many.child import Child
from ipa.studies.many.runner import Chunk, Done, Kept, make


@dataclass(frozen=True)
class Local:
    """So many worker processes; one: this process itself."""

    workers: int
    say: Callable[[str], object] = lambda _: None

    @property
    def where(self) -> str:
        return f"{self.workers} process{'es' if self.workers > 1 else ''} of this machine"

    def make(self, kept: Kept, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Place.make`: an interrupt lets the chunks that have begun finish, a second one ends them.

        Where a worker is killed, the runs under way are made again one by one, so that it is seen whose doing it was.
        """
        task, rest = partial(make, kept, uuid4().hex), iter(chunks)
        with closing(Child(kept, {})) as child:
            while True:
                try:
                    workers.run_all(task, rest, self.workers, lambda _, done: keep(done))
                    return
                except workers.WorkerKilledError as killed:
                    self.say(f"{killed}: the runs under way are made again, one by one")
                    left = list(islice(rest, 2))
                    again, rest = list(killed.tasks), chain(left, rest)
                    if len(left) == 1:  # alone, it would be made in this process, which its runs may end
                        again, rest = again + left, iter(())
                    for chunk in again:
                        keep(child.make(chunk))
