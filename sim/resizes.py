"""How the cores of replicas have changed in place (rule 5, `resize: in_place`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ipa.sim.model import FloatArray, IntArray


class Resize(NamedTuple):
    """A replica's cores change in place, from `cores_before` to `cores`."""

    replica: int
    time_s: float
    cores_before: int
    cores: int


class Resizes(NamedTuple):
    """The resizes of a stage's replicas, in order of time."""

    replica: IntArray
    time_s: FloatArray
    cores_before: IntArray
    cores: IntArray

    @classmethod
    def of(cls, log: Sequence[Resize]) -> Resizes:
        """A log as arrays."""
        replica, time_s, cores_before, cores = zip(*log, strict=True) if log else ((), (), (), ())
        return cls(
            np.array(replica, dtype=np.int64),
            np.array(time_s, dtype=np.float64),
            np.array(cores_before, dtype=np.int64),
            np.array(cores, dtype=np.int64),
        )

    def at_creation(self, cores: IntArray) -> IntArray:
        """The cores with which replicas were created that have `cores` now, by number."""
        created = cores.copy()
        created[self.replica[::-1]] = self.cores_before[::-1]  # of several resizes of one replica, the first stands
        return created

    def by(self, replica: IntArray, moment_s: FloatArray, cores: IntArray, *, until: bool) -> IntArray:
        """The cores of replicas at moments, both of one shape; `until`: resizes at the moment itself count.

        `cores`: with which replicas were created, by number.
        """
        found = cores[replica]
        for number, time_s, before, after in zip(*self, strict=True):
            is_later = moment_s >= time_s if until else moment_s > time_s
            found = found + (after - before) * ((replica == number) & is_later)
        return found

    def at_end(self, cores: IntArray) -> IntArray:
        """The cores that replicas have now that were created with `cores`, by number."""
        ended = cores.copy()
        ended[self.replica] = self.cores
        return ended


NO_RESIZES = Resizes.of(())
