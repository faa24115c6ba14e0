"""The gateway of a pipeline: `python -m ipa.live.serving.gateway --pipeline video`.

One asyncio process holds the router and all its queues (`gateway_process`, `host`). Clients use the data port, which
serves the pipeline as one model of the protocol; the control plane uses the control port.

Both ports are open before the slow imports. Connections meanwhile wait, and are answered as soon as the gateway can: a
cluster's readiness probe need not be repeated, and its list of replicas is not refused.
"""

from __future__ import annotations

import gc
from typing import Any

import click

from ipa.errors import InputError
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.plane import open_port
from ipa.live.process_settings import options_of


@click.command()
@options_of(GatewaySettings)
def main(**options: Any) -> None:
    """Run the gateway of one pipeline: the router and its queues."""
    settings = GatewaySettings(**options)
    try:
        with (
            open_port(settings.control_host, settings.control_port) as control,
            open_port(settings.host, settings.port) as data,
        ):
            gc.disable()  # imported objects stay: looking for garbage among them takes a tenth of the time
            try:
                from ipa import profiles
                from ipa.live.serving.gateway_process import serve

                pipeline = profiles.load(settings.pipeline).with_limits(settings.sla_s, dict(settings.drop_limits_s))
            finally:
                gc.enable()
            serve(pipeline, settings, data, control)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"cannot listen: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
