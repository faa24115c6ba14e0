"""The log of a command of live mode: one line on stderr for each event, with everything that is known of it."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    """Time, level and event, then what the call says besides: `... warning: waiting for the Lease: problem: ...`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = "; ".join(f"{key}: {value}" for key, value in vars(record).items() if key not in _OWN)
        event = " ".join(filter(None, (f"{record.getMessage()}{':' if said else ''}", said)))
        defect = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{time} {record.levelname.lower()}: {event}{defect}"


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is now: a screen that is drawn there takes it over meanwhile."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def to_stderr(level: int = logging.WARNING) -> None:
    """Send what live mode logs in this process to stderr, from `level` on."""
    handler = _Stderr()
    handler.setFormatter(Lines())
    log = logging.getLogger("ipa.live")
    log.handlers = [handler]
    log.setLevel(level)
