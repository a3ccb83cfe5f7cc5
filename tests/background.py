"""An app whose views run in the background, as a client sees it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from quart import Quart, Response, request
from quart.testing import QuartClient as Client
from werkzeug.datastructures import Headers

from quart_tasks import QuartTasks, current_task

from .web import Record, client_of

BOUNDARY = "a-line-between"


async def whole_body() -> bytes:
    return await request.get_data(cache=True, as_text=False, parse_form_data=False)


def which() -> str:
    """Which handling of a request this is: the one that is answered 202, or that in its task."""
    return "first" if current_task() is None else "second"


@dataclass
class Ran:
    """A request whose task has ended: the 202 and its body, the record as it is now, and what the
    result route answers."""

    accepted: Response
    first: Record
    record: Record
    status: int
    headers: Headers
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def text(self) -> str:
        return self.data.decode()


class Site:
    """`async with site:` starts the app."""

    def __init__(self, app: Quart | None = None, **config: Any) -> None:
        self.app = app or Quart(__name__)
        self.app.secret_key = "secret"
        self.app.config.update({"TASKS_DRAIN_TIMEOUT": 0, **config})
        self.tasks = QuartTasks(self.app)
        self.client: Client = client_of(self.app)
        self.gate = asyncio.Event()  # for views to wait at

    async def __aenter__(self) -> Site:
        self._running = self.app.test_app()
        await self._running.__aenter__()
        if "TASKS_JOURNAL" in self.app.config:
            while (await self.client.get("/tasks/health")).status_code != 200:
                pass  # it is still being read
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.gate.set()
        await self._running.__aexit__(kind, error, traceback)  # type: ignore[arg-type]

    async def start(self, method: str, path: str, **request: Any) -> Record:
        """The record of a request that was accepted."""
        response = await self.client.open(path, method=method, **request)
        assert response.status_code == 202, await response.get_data()
        return await response.get_json()  # type: ignore[no-any-return]

    async def run(self, method: str, path: str, **request: Any) -> Ran:
        """A request, to the end of its task."""
        accepted = await self.client.open(path, method=method, **request)
        data = await accepted.get_data()
        assert accepted.status_code == 202, data
        first = json.loads(data) if data else {"id": accepted.headers["Location"].split("/")[-1]}
        return await self.finish(accepted, first)

    async def finish(self, accepted: Response, first: Record) -> Ran:
        answer = await self.client.get(f"/tasks/{first['id']}?wait=60")
        record = await answer.get_json()
        assert record["finished_at"], record
        result = await self.client.get(f"/tasks/{first['id']}/result")
        assert result.headers["Task-State"] == record["state"]
        body = await result.get_data(as_text=False)
        return Ran(accepted, first, record, result.status_code, result.headers, body)

    async def until_running(self, name: str | None = None) -> str:
        """Wait until a task runs; its id."""
        while not (running := self.tasks.list(state="running", name=name)):
            await self.client.get("/tasks/stats")
        return running[0].id

    async def ended(self, id: str) -> Record:
        answer = await self.client.get(f"/tasks/{id}?wait=60")
        record: Record = await answer.get_json()
        assert record["finished_at"], record
        return record

    async def result(self, id: str) -> Response:
        return await self.client.get(f"/tasks/{id}/result")


def multipart(*parts: tuple[str, str | None, bytes]) -> dict[str, Any]:
    """A form of (field, file name or None, content), as `data` and `headers` of a request."""
    lines: list[bytes] = []
    for field, filename, content in parts:
        about = f'form-data; name="{field}"'
        kind = b""
        if filename is not None:
            about += f'; filename="{filename}"'
            kind = b"Content-Type: application/x-thing\r\n"
        lines.append(
            f"--{BOUNDARY}\r\nContent-Disposition: {about}\r\n".encode()
            + kind + b"\r\n" + content + b"\r\n"
        )  # fmt: skip
    body = b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()
    return {
        "data": body,
        "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    }
