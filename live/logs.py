"""Logs on stderr: lines to read of the commands of live mode, JSON lines of its servers."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


class LineFormatter(logging.Formatter):
    """Time, level and event, then the call's extra fields: `... warning: waiting for the Lease: problem: ...`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = "; ".join(f"{key}: {value}" for key, value in _extra(record).items())
        event = " ".join(filter(None, (f"{record.getMessage()}{':' if said else ''}", said)))
        defect = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{moment} {record.levelname.lower()}: {event}{defect}"


class JsonLines(logging.Formatter):
    """`time` (UTC), `level`, `process`, `event`, and the call's extra fields under their own keys."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        import orjson

        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "event": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _Stderr(logging.Handler):
    """Writes to the present `sys.stderr`, which a live screen may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def lines_to_stderr(level: int = logging.WARNING) -> None:
    """Send what live mode logs in this process to stderr, from `level` on, as lines to read."""
    handler = _Stderr()
    handler.setFormatter(LineFormatter())
    log = logging.getLogger("ipa.live")
    log.handlers = [handler]
    log.setLevel(level)


def json_to_stderr(process: str, level: str = "info") -> None:
    """Send all logs of this process to stderr as JSON lines, including the interpreter's warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)


class OnceASecond:
    """A warning that is logged at most once a second, with how many there were since the last one."""

    def __init__(self, log: logging.Logger, event: str) -> None:
        self._log = log
        self._event = event
        self._count = 0
        self._next_s = 0.0

    def __call__(self, **what: object) -> None:
        """Count one more; `what` are its fields in the log."""
        self._count += 1
        if (now_s := time.monotonic()) >= self._next_s:
            self._log.warning(self._event, extra={**what, "count": self._count})
            self._count, self._next_s = 0, now_s + 1.0
