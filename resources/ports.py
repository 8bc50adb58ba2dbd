"""The addresses that the project's own servers listen on."""

import socket

from resources.errors import SimsightError


class PortInUseError(SimsightError):
    """A server cannot listen where it was told to; the message says where, why and what to set."""


def listen(host: str, port: int, *, free_it: str = "choose another one (0 takes a free one)") -> socket.socket:
    """A socket that listens on host and port; 0 takes a free port.

    free_it   what else the user can do, such as "set SIMSIGHT_API_PORT to a free one"; it ends the message
    Raises PortInUseError.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]  # create_server repeats the address there
        raise PortInUseError(
            f"cannot listen on {host}:{port}: {reason}. Stop the program that uses the port, or {free_it}"
        ) from error
