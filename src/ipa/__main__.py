"""The command `ipa`, which is also `python -m ipa`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command. Ctrl-C while it is loaded, or while the interpreter ends, leaves no traceback."""
    try:
        from ipa.studies.commands import main

        main(prog_name="ipa")
    except KeyboardInterrupt:
        sys.exit("Error: interrupted; nothing was written")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # everything is done


if __name__ == "__main__":
    main()
