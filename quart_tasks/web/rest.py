"""The REST routes. Each view gets what its route's wrapper has checked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import msgspec
from quart import Response, request

from ..definition import Definition
from ..exceptions import InvalidArguments, QueueFull
from ..record import STATES, State
from ..service import Service
from ..subscriptions import Closed
from ..task import Filter, Task
from .answers import (
    accepted,
    answer,
    bad_query,
    empty,
    ends_within,
    preferred_wait,
    query_wait,
    stored,
)
from .problems import BadRequest, kebab, problem, respond
from .scope import BODY
from .submissions import BatchBody, TaskBody, decode, submit, submit_batch

PAGE, MAX_PAGE = 50, 500
SLICE = 200  # tasks that a bulk request changes before the loop gets a turn
MAX_IDS = 10_000


class BulkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ids: list[str] | None = None
    state: State | None = None
    name: str | None = None
    q: str | None = None


async def create(service: Service) -> Response:
    wait = preferred_wait()
    body = read(TaskBody)
    task = await submit(service, body, request.headers.get("Idempotency-Key"))
    if wait is None:
        return accepted(service, task)
    if not await ends_within(service, task, wait):
        return accepted(service, task)
    headers = {"Preference-Applied": f"wait={wait:.0f}"}
    return answer(service.registry.detail(task), 200, headers)


async def create_batch(service: Service) -> Response:
    body = read(BatchBody)
    tasks = await submit_batch(service, body.tasks)
    return answer({"tasks": [task.record for task in tasks]}, 202)


async def index(service: Service, owner: str | None) -> Response:
    query = request.args
    state = query.get("state") or None
    if state is not None and state not in STATES:
        raise bad_query("state", f"must be one of {', '.join(STATES)}")
    limit = query.get("limit", str(PAGE))
    if not re.fullmatch(r"0*[1-9]\d*", limit, re.ASCII):
        raise bad_query("limit", "must be a whole number, 1 or more")
    before = query.get("before") or None
    if before is not None and not re.fullmatch(r"[0-9a-f-]{36}", before):
        raise bad_query("before", "must be the id of a task")
    filter = Filter(
        state, query.get("name") or None, query.get("parent_id") or None,
        query.get("q") or None, owner,
    )  # fmt: skip
    await service.loaded()
    cursor = service.registry.log.cursor
    tasks, next_id = service.registry.page(filter, int(min(float(limit), MAX_PAGE)), before)
    headers = {}
    if next_id is not None:
        values = {**query.to_dict(), "before": next_id}
        headers["Link"] = f'<{request.root_path}{request.path}?{urlencode(values)}>; rel="next"'
    records = [task.record for task in tasks]
    return answer({"tasks": records, "next": next_id, "cursor": cursor}, 200, headers)


async def show(service: Service, task: Task) -> Response:
    wait = query_wait()
    tags = request.if_none_match
    if wait and task.run is not None:
        if not tags:
            await ends_within(service, task, wait)
        elif tags.contains_weak(task.record.cursor):
            await changes_within(service, task, wait)
    cursor = task.record.cursor
    headers = {"ETag": f'"{cursor}"'}
    if tags and tags.contains_weak(cursor):
        response = empty(304)
        response.headers.update(headers)
        return response
    return answer(service.registry.detail(task), 200, headers)


async def result(service: Service, task: Task) -> Response:
    wait = query_wait()
    if wait:
        await ends_within(service, task, wait)
    record = task.record
    if not record.ended:
        response = accepted(service, task)
    elif record.state == "succeeded":
        response = stored(task)
    else:
        response = respond(_failure(task))
    response.headers["Task-State"] = record.state
    return response


def _failure(task: Task) -> dict[str, Any]:
    error = task.record.error
    if task.record.state == "cancelled" or error is None:
        return problem(409, "task-cancelled", "The task was cancelled.")
    kinds = ("TaskTimeout", "TaskExpired", "WorkerCrashed", "Interrupted")
    name = kebab(error.type) if error.type in kinds else "task-failed"
    return problem(409, name, f"{error.type}: {error.message}", error=error)


async def cancel(service: Service, task: Task) -> Response:
    if task.record.ended:
        return answer(task.record)
    await service.cancel(task)
    return answer(task.record, 202)


async def retry(service: Service, task: Task) -> Response:
    again = service.retry(task)
    await service.accepted(again)
    return accepted(service, again)


async def delete(service: Service, task: Task) -> Response:
    await service.forget(task)
    return empty(204)


async def cancel_many(service: Service, owner: str | None) -> Response:
    count = 0
    service.make_sure()
    async for task in _matching(service, read(BulkBody), owner):
        if not task.record.ended:
            service.runner.cancel(task)
            count += 1
    await service.committed()
    return answer({"count": count}, 202)


async def retry_many(service: Service, owner: str | None) -> Response:
    body = read(BulkBody)
    tasks = [
        task
        async for task in _matching(service, body, owner)
        if task.record.ended and task.replayable
    ]
    room = service.config.max_pending - service.registry.pending
    if len(tasks) > room:
        raise QueueFull(
            f"{len(tasks):,} tasks match and there is room for {room:,}: narrow the filter.",
            service.runner.metrics.seconds_for(len(tasks)),
        )
    again = []
    for number, task in enumerate(tasks):
        again.append(service.retry(task))
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)
    for task in again:
        await service.accepted(task)
    return answer({"count": len(tasks)}, 202)


async def _matching(service: Service, body: BulkBody, owner: str | None) -> AsyncIterator[Task]:
    if body.ids is None and not (body.state or body.name or body.q):
        raise InvalidArguments(errors=[("#", "give ids, state, name or q")])
    await service.loaded()
    ids = None if body.ids is None else frozenset(body.ids)
    filter = Filter(body.state, body.name or None, None, body.q or None, owner, ids)
    for tasks in service.registry.walk(filter):
        for number, task in enumerate(tasks):
            yield task
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)


async def types(service: Service, owner: str | None) -> Response:
    definitions = service.catalog.definitions.values()
    return answer({"types": [_type(each) for each in definitions if each.public]})


def _type(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "executor": definition.executor,
        "doc": definition.doc,
        "parameters": definition.parameters.schema(),
        "options": definition.options(),
    }


async def stats(service: Service, owner: str | None) -> Response:
    return answer(service.figures.stats())


async def health(service: Service, owner: str | None) -> Response:
    reason = service.figures.unhealthy()
    if reason is not None:
        return respond(problem(503, "unhealthy", reason), {"Retry-After": "1"})
    return answer({"status": "ok"})


def read(type: Any) -> Any:
    """The body. Raises BadRequest, InvalidArguments."""
    mimetype = request.headers.get("Content-Type", "")
    if mimetype != "application/json":
        mimetype = request.mimetype
    if mimetype != "application/json" and not mimetype.endswith("+json"):
        raise BadRequest(
            415, "unsupported-media-type",
            f"The body is {mimetype or 'of no type'!r}: send JSON, with "
            f"`Content-Type: application/json`.",
        )  # fmt: skip
    scope: dict[str, Any] = request.scope  # type: ignore[assignment]
    return decode(scope[BODY], type)


async def changes_within(service: Service, task: Task, seconds: float) -> None:
    """Wait for the next change of a task's record; its outputs and log lines are none."""
    subscriptions = service.registry.subscriptions
    cursor = task.record.cursor
    subscription = subscriptions.open()
    subscriptions.add(subscription, ids=[task.record.id])
    try:
        async with asyncio.timeout(seconds):
            while task.record.cursor == cursor:
                if await subscription.next() is None:
                    subscription.rejoin(service.registry.log.last)
    except (TimeoutError, Closed):
        pass
    finally:
        subscriptions.close(subscription)
