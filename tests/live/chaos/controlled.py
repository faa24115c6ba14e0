"""`ipa` with relays in its network on this machine: `python -m tests.live.chaos.controlled PORT live run ...`.

PORT is where relays are registered. The gateway's control API and every replica listen behind a relay of their own;
everybody else finds it at the port where they would be. Its models fail on `poison`.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from typing import Any

from ipa.live import loopback
from tests.live.chaos.relay import register


def main() -> None:
    faulthandler.register(signal.SIGUSR1)  # says where it is, should it not end
    relays_port, *arguments = sys.argv[1:]
    made: Any = loopback
    gateway, server = made.gateway_arguments, made.server_arguments

    def gateway_arguments(plane: Any, source: str, port: int, control_port: int, *more: Any, **how: Any) -> Any:
        return gateway(plane, source, port, register(int(relays_port), "control", control_port), *more, **how)

    def server_arguments(plane: Any, source: str, serves: Any, port: int, **how: Any) -> Any:
        return server(plane, source, serves, register(int(relays_port), "replicas", port), **how)

    made.PRELOADED += ("tests.live.chaos.poison",)
    made.gateway_arguments, made.server_arguments = gateway_arguments, server_arguments
    from ipa.studies.commands import main as ipa

    sys.argv = ["ipa", *arguments]
    ipa(arguments)


if __name__ == "__main__":
    main()
