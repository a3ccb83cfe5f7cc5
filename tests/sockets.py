"""A client that asks and does not read."""

import socket
from urllib.parse import urlsplit


def silent_client(url: str, path: str, *, upgrade: bool) -> socket.socket:
    """A client that asks the server at `url` for a WebSocket, or a stream, and reads nothing. It
    takes in 4 KiB, so that the server soon has to wait for it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    place = urlsplit(url)
    client.connect((place.hostname, place.port))
    lines = [f"GET {path} HTTP/1.1", "Host: test"]
    if upgrade:
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    client.sendall("\r\n".join([*lines, "", ""]).encode())
    return client
