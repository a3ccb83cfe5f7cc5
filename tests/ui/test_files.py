"""The dashboard's files: all of them can be had, and nothing else."""

from __future__ import annotations

import asyncio
from http.client import parse_headers
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

UI = Path(str(files("quart_tasks"))) / "ui"
FILES = sorted(each.relative_to(UI).as_posix() for each in UI.rglob("*.*"))

OUTSIDE = [
    "../config.py", "types/../../config.py", "types/", "types", "..%2fconfig.py",
    "..%5cconfig.py", "%2e%2e/config.py", "%2e%2e%2fconfig.py",
    "%252e%252e%252fconfig.py", "....//config.py", "..;/config.py", "./../../pyproject.toml",
    "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "main.js/../dom.js",
    "main.js%00", "main.js%00.css", "main.js.", "main.js%20", "MAIN.JS", "main", "", ".", "..",
    "__init__.py", "%c0%ae%c0%ae/config.py", "ui/main.js", "*", "?", "~",
]  # fmt: skip


async def ask(
    url: str, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """An answer to a request that is sent as it is: clients would tidy its path up."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, _, rest = head.partition(b"\r\n")
    got = parse_headers(BytesIO(rest + b"\r\n\r\n"))
    return int(status.split()[1]), {name.title(): value for name, value in got.items()}, body


@pytest.mark.parametrize("name", FILES)
async def test_every_file(url: str, name: str) -> None:
    path = f"/tasks/ui/{name}"
    status, headers, body = await ask(url, path)
    assert status == 200
    assert body == (UI / name).read_bytes()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert headers["Cache-Control"] == "no-cache"

    assert (await ask(url, path, If_None_Match=headers["Etag"]))[::2] == (304, b"")
    status, of_head, body = await ask(url, path, "HEAD")
    assert (status, body) == (200, b"")
    for each in ("Content-Type", "Content-Length", "Etag", "Content-Security-Policy"):
        assert of_head[each] == headers[each]
    assert (await ask(url, path, "POST"))[0] == 405


@pytest.mark.parametrize("path", OUTSIDE)
async def test_nothing_else(url: str, path: str) -> None:
    status, headers, body = await ask(url, f"/tasks/ui/{path}")
    while status == 308:  # to the page itself, or to the path without its second slash
        path = urljoin(f"/tasks/ui/{path}", headers["Location"])
        status, headers, body = await ask(url, path)
    assert status == 404 or path == "/tasks/ui"
    assert b"root:" not in body
    assert b"import " not in body
