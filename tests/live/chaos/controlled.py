"""`ipa` with relays in its network on this machine: `python -m tests.live.chaos.controlled PORT live run ...`.

PORT is where relays are registered. The gateway's control API and every replica listen behind a relay of their own;
everybody else finds it at the port where they would be. Its models fail on `poison`.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from dataclasses import replace
from typing import Any

from ipa.live import loopback
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.server_settings import ServerSettings
from tests.live.chaos.relay import register


def main() -> None:
    faulthandler.register(signal.SIGUSR1)  # says where it is, should it not end
    relays_port, *arguments = sys.argv[1:]
    made: Any = loopback
    of_gateway: Any = GatewaySettings
    of_server: Any = ServerSettings
    gateway, server = GatewaySettings.arguments, ServerSettings.arguments

    def gateway_arguments(settings: GatewaySettings) -> list[str]:
        control_port = register(int(relays_port), "control", settings.control_port)
        return gateway(replace(settings, control_port=control_port))

    def server_arguments(settings: ServerSettings) -> list[str]:
        return server(replace(settings, port=register(int(relays_port), "replicas", settings.port)))

    made.PRELOADED += ("tests.live.chaos.poison",)
    of_gateway.arguments, of_server.arguments = gateway_arguments, server_arguments
    from ipa.studies.commands import main as ipa

    sys.argv = ["ipa", *arguments]
    ipa(arguments)


if __name__ == "__main__":
    main()
