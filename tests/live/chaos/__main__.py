"""`make chaos`: faults by a seed under load, on this machine or on a cluster; exit code 1 where an invariant breaks.

A schedule that has broken one is printed, with the evidence; --replay FILE plays it again, and so does its seed.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from pathlib import Path

from tests.live.chaos.run import SURROUNDINGS, chaos, surroundings
from tests.live.chaos.schedule import lines, read, schedule


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.live.chaos", description=__doc__)
    parser.add_argument("--on", choices=list(SURROUNDINGS), default="loopback")
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a schedule in JSON lines, instead of the seed's")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the schedule, and do nothing")
    given = parser.parse_args()
    on = surroundings(given.on)
    try:
        faults = read(given.replay) if given.replay else schedule(given.seed, given.seconds, on.kinds, on.every_s)
    except (OSError, ValueError) as error:
        parser.error(f"--replay: {error}")
    if given.only_print:
        sys.stdout.write(lines(faults))
        return
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    logging.getLogger("chaos").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no process is left behind
    verdict = chaos(on, given.seed, given.seconds, faults)
    print(json.dumps({"on": given.on, "seed": given.seed, "seconds": given.seconds, **verdict.figures}, indent=2))
    if verdict.broken:
        sys.stdout.write(lines(faults))
        print("\nended:", *verdict.history.ends, sep="\n  ", file=sys.stderr)
        for each in verdict.broken:
            print(f"\nbroken: {each}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
