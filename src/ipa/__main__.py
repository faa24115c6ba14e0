"""The command `ipa`, which is also `python -m ipa`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import FrameType

AGAIN_AFTER_S = 0.01


def main() -> None:
    """Run the command. Ctrl-C while it is loaded, or while the interpreter ends, leaves no traceback."""
    sys.unraisablehook = _interrupt_again
    try:
        from ipa.studies.commands import main

        main(prog_name="ipa")
    except KeyboardInterrupt:
        sys.exit("Error: interrupted; nothing was written")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # everything is done
        # An interrupt within an `exec`, such as that of a dataclass, is noted as unhandled, whatever handled it since:
        # Python would end by the signal. Another one forgets it.
        exec("")


def _interrupt_again(unraisable: UnraisableHookArgs) -> None:
    """Ctrl-C where nothing can be raised, as in the callbacks of imports, would be lost: interrupt a moment later."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER_S, AGAIN_AFTER_S)
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Interrupt, but not within the hook, where nothing can be raised either: the timer comes again."""
    while frame:
        if frame.f_code is _interrupt_again.__code__:
            return
        frame = frame.f_back
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
