"""A reverse proxy as people put before an app: it takes a part of the path away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}


@asynccontextmanager
async def proxied(url: str, prefix: str) -> AsyncIterator[str]:
    """The proxy's own URL, below which `prefix` leads to `url`."""

    async def forward(request: web.Request) -> web.StreamResponse:
        async with http.request(
            request.method, url + request.raw_path.removeprefix(prefix), headers=request.headers,
            data=await request.read(), allow_redirects=False,
        ) as answer:  # fmt: skip
            headers = [each for each in answer.headers.items() if each[0].lower() not in HOP]
            response = web.StreamResponse(status=answer.status, headers=dict(headers))
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
        return response

    application = web.Application()
    application.router.add_route("*", prefix + "/{path:.*}", forward)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()
