"""The dashboard's page and the files that it is made of, from `quart_tasks/ui`."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from quart import Response, abort, request

PAGE = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    # Its own files and this server's answers, nothing else; markup is never made of text.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked for each time, and answered with 304
}


async def file(name: str = PAGE) -> Response:
    """One of the dashboard's files. Its links are relative: they hold behind any proxy."""
    if name == PAGE and request.path.endswith("/"):
        return Response(b"", 308, headers={"Location": "../ui", **HEADERS})
    found = _files().get(name)
    if found is None:
        abort(404)
    data, content_type, tag = found
    response = Response(data, content_type=content_type, headers=HEADERS)
    response.set_etag(tag)
    return await response.make_conditional(request)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """By path: the bytes, the type, the tag."""
    root = Path(__file__).parent.parent / "ui"
    found = {}
    for each in root.rglob("*"):
        if each.suffix in TYPES:
            data = each.read_bytes()
            tag = hashlib.sha256(data).hexdigest()[:16]
            found[each.relative_to(root).as_posix()] = data, TYPES[each.suffix], tag
    return found
