"""Processes whose time of day can be set, as somebody sets a machine's clock: only theirs, and their children's.

Python runs `sitecustomize` at every start. The one here adds a number of seconds, kept in a file, to what `time.time`
and `time.time_ns` say. What counts from the monotonic clock is left alone, as on a machine whose clock is set.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

SITE = """
import mmap, os, struct, time

_file = os.environ.get("IPA_CHAOS_CLOCK")
if _file:
    with open(_file, "rb") as opened:
        _map = mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)
    _right, _right_ns = time.time, time.time_ns
    time.time = lambda: _right() + struct.unpack("d", _map[:8])[0]
    time.time_ns = lambda: _right_ns() + int(struct.unpack("d", _map[:8])[0] * 1e9)
"""


class Clock:
    """A time of day that is off by `off_s` for the processes started with `environment`."""

    def __init__(self, folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITE, encoding="utf-8")
        self._file = folder / "clock"
        self.off_s = 0.0
        self._file.write_bytes(struct.pack("d", 0.0))
        root = Path(__file__).parents[3]
        paths = [str(site), str(root), str(root / "src"), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            "IPA_CHAOS_CLOCK": str(self._file),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def step(self, seconds: float) -> None:
        """Set it forward, or back."""
        self.off_s += seconds
        with self._file.open("r+b") as opened:
            opened.write(struct.pack("d", self.off_s))
