"""The socket of a server, which says at once whether its address can be used."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """The socket that a server is run with; raises `OSError` where the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
