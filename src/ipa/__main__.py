"""The command `ipa`, which is also `python -m ipa`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_AFTER_S = 0.001


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


def _interrupt_again(unraisable: UnraisableHookArgs) -> None:
    """Ctrl-C where nothing can be raised, as in the callbacks of imports, would be lost: interrupt a moment later."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        from threading import Timer, get_ident

        Timer(AGAIN_AFTER_S, signal.pthread_kill, (get_ident(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    main()
