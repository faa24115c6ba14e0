"""The cores that serve batches, of all stages together, where batches beside each other take longer (rule 3)."""

from __future__ import annotations


class BusyCores:
    """How many cores are busy now, and their integral over time so far [core-seconds], for the law that checks it."""

    def __init__(self) -> None:
        self.cores = 0
        self._integral_s = 0.0
        self._since_s = 0.0

    def change(self, by: int, now_s: float) -> None:
        """So many cores become busy, or idle if below 0."""
        self._integral_s += self.cores * (now_s - self._since_s)
        self._since_s = now_s
        self.cores += by

    def core_s(self, until_s: float) -> float:
        """The integral until then."""
        return self._integral_s + self.cores * (until_s - self._since_s)
