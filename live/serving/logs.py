"""Logs as JSON lines on stderr: `time` (UTC), `level`, `process`, `event`, and further keys of a line's own."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One record a line; the `extra` of a logging call becomes further keys."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def to_stderr(process: str, level: str = "info") -> None:
    """Send all logs of this process to stderr as JSON lines, including the interpreter's warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)


class OnceASecond:
    """A warning that comes at most once a second, with how many there were since the last one."""

    def __init__(self, log: logging.Logger, event: str) -> None:
        self._log = log
        self._event = event
        self._count = 0
        self._next_s = 0.0

    def __call__(self, **what: object) -> None:
        """One more; `what` is said of it."""
        self._count += 1
        if (now_s := time.monotonic()) >= self._next_s:
            self._log.warning(self._event, extra={**what, "count": self._count})
            self._count, self._next_s = 0, now_s + 1.0
