"""The WSGI environment, where a2wsgi has it wrong."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes, urlsplit

from werkzeug.wsgi import FileWrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Scope = MutableMapping[str, Any]

ROOT_PATH = "quart_tasks.root_path"  # in a scope: what `root_path` was
# Each part of an answer goes to the loop and back, which takes 0.1 ms. Werkzeug reads files in
# parts of 8 KiB: 300 MB then take four times as long.
FILE_PART = 128 * 1024
QUERY_SAFE = "".join(map(chr, range(0x21, 0x7F)))


def plain(scope: Scope) -> Scope:
    """A scope of which a2wsgi makes no error and no wrong path."""
    query = quote_from_bytes(scope["query_string"], safe=QUERY_SAFE)
    # A proxy that drops `X_Real_Ip` must not be got round: to WSGI it is the same as `X-Real-Ip`.
    headers = [each for each in scope["headers"] if b"_" not in each[0]]
    return {
        **scope, "root_path": "", "query_string": query.encode(), "headers": headers,
        ROOT_PATH: scope.get("root_path", ""),
    }  # fmt: skip


def correct(environ: WSGIEnvironment, body: BinaryIO) -> None:
    """Put right what a2wsgi has made of a plain scope."""
    scope = environ["asgi.scope"]
    root: str = scope[ROOT_PATH]
    path: bytes = scope["path"].encode()
    raw: bytes = scope.get("raw_path") or b""
    if unquote(raw.decode("latin-1")) == scope["path"]:
        path = unquote_to_bytes(raw)  # what is not UTF-8 is lost in the other
    if not path.startswith(b"/"):
        path = urlsplit(path).path  # `GET http://host/path`
    environ["SCRIPT_NAME"] = root.encode().decode("latin-1")
    environ["PATH_INFO"] = path.removeprefix(root.encode()).decode("latin-1")
    environ["wsgi.input"] = body
    environ["wsgi.errors"] = sys.stderr
    environ["wsgi.multiprocess"] = False
    environ["wsgi.file_wrapper"] = _file_wrapper
    if "CONTENT_LENGTH" not in environ:
        environ["wsgi.input_terminated"] = True  # else Werkzeug takes the body for empty
    cookies = [value for name, value in scope["headers"] if name == b"cookie"]
    if len(cookies) > 1:  # HTTP/2 may cut them in parts (RFC 9113, section 8.2.3)
        environ["HTTP_COOKIE"] = b"; ".join(cookies).decode("latin-1")


def _file_wrapper(file: Any, size: int = FILE_PART) -> FileWrapper:
    return FileWrapper(file, max(size, FILE_PART))
