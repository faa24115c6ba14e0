"""The ports of a server, which can be open long before it answers: what connects meanwhile waits in the kernel's queue.

So this imports little.
"""

from __future__ import annotations

import socket

from ipa.live.plane import EVERYWHERE, listening_host

BACKLOG = 1024
"""How many connections may wait."""


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any free one. Raises OSError, with the address in its text."""
    host = listening_host(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if host == EVERYWHERE:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # one socket for both families
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{host} port {port}: {error.strerror}") from None
    return listening
