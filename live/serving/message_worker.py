"""The process that reads and writes large JSON for a server: `python -m ipa.live.serving.message_worker`.

On stdin it gets the length, in 8 bytes, and the pickle of a function's name and arguments; on stdout it gives back the
function's result, or the ProtocolError that it raised, in the same form. It ends when its server does.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

from ipa.live.serving import protocol
from ipa.live.serving.protocol import ProtocolError

LENGTH = Struct("<Q")
NICENESS = 15
"""On a machine or in a pod without a core to spare, the server goes first."""


def main() -> None:
    """Serve until stdin ends."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which closes stdin when it is done
        signal.signal(ignored, signal.SIG_IGN)
    os.nice(NICENESS)
    with suppress(OSError):  # where memory ends nevertheless, this process goes, not the server
        Path("/proc/self/oom_score_adj").write_text("1000")
    while serve_one(sys.stdin.buffer, sys.stdout.buffer):
        pass


def serve_one(asked: BinaryIO, answers: BinaryIO) -> bool:
    """Carry out one call; False if there are no more."""
    head = asked.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return False
    answer = pickle.dumps(_done(*pickle.loads(asked.read(*LENGTH.unpack(head)))), 5)
    answers.write(LENGTH.pack(len(answer)))
    answers.write(answer)
    answers.flush()
    return True


def _done(name: str, given: tuple[Any, ...]) -> Any:
    try:
        return getattr(protocol, name)(*given)
    except ProtocolError as error:
        return error
    except MemoryError:
        return ProtocolError("the body's JSON needs more memory than there is; send binary data", 413)


if __name__ == "__main__":
    main()
