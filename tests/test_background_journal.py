"""Background views and the journal: what a restart finds, and what it does with that."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from quart import Response, abort, request

from quart_tasks import progress, service

from .background import Site, whole_body
from .waiting import HANG, Gate, pass_gate, pass_gate_on_loop, until_progress
from .web import problem


async def test_with_a_journal_it_is_there_after_a_restart(tmp_path: Path) -> None:
    def make() -> Site:
        site = Site(TASKS_JOURNAL=tmp_path / "tasks.db")

        @site.app.post("/answer/<int:status>")
        @site.tasks.background
        async def answer(status: int) -> Any:
            data = await whole_body()
            return Response(data, status, {"X-Own": "1", "X-Twice": "a", "Set-Cookie": "a=b"})

        @site.app.get("/gone")
        @site.tasks.background
        def aborts() -> Any:
            abort(410)

        return site

    async with make() as site:
        ran = [
            await site.run("POST", "/answer/200", data=b"\x00\xff" * 10_000),
            await site.run("POST", "/answer/503", data=b"sorry"),
            await site.run("POST", "/answer/204"),
            await site.run("GET", "/gone"),
        ]
    async with make() as site:
        for each in ran:
            answer = await site.result(each.first["id"])
            assert answer.status_code == each.status
            assert await answer.get_data() == each.data
            assert sorted(answer.headers) == sorted(each.headers)
            record = await site.ended(each.first["id"])
            left_out = {"cursor": None, "logs": None}
            assert record | left_out == each.record | left_out
        again = await site.client.post(f"/tasks/{ran[0].first['id']}/retry")
        finished = await site.finish(again, await again.get_json())
        assert finished.data == ran[0].data


async def test_what_no_longer_fits_fails_with_a_word(tmp_path: Path, gate: Gate) -> None:
    """What waited in the journal for code that is not there any more fails with a word, and runs
    nothing else."""
    ran: list[str] = []

    def make(deploy: int) -> Site:
        site = Site(TASKS_JOURNAL=tmp_path / "tasks.db", TASKS_ASYNC_CONCURRENCY=1)

        @site.tasks.task
        async def hold(path: str) -> None:
            await pass_gate_on_loop(path)

        def view(name: str) -> Any:
            async def run(**values: Any) -> str:
                ran.append(name)
                return name

            return run

        def route(rule: str, endpoint: str, name: str) -> None:
            background = site.tasks.background(name=name)(view(name))
            site.app.add_url_rule(rule, endpoint, background, methods=["POST"])

        route("/kept", "kept", "kept")
        if deploy == 1:
            route("/gone", "gone", "gone")
            route("/moved", "moved", "moved")
            route("/taken", "taken", "taken")
            route("/was-view", "was_view", "was view")
            site.tasks.task(name="was task")(view("was task"))
        else:
            route("/moved-to", "moved", "moved")
            route("/<anything>", "anything", "anything")
            route("/elsewhere", "taken", "taken")
            site.tasks.task(name="was view")(view("was view"))
            route("/was-task", "was_task", "was task")
        return site

    paths = ["/kept", "/gone", "/moved", "/taken", "/was-view"]
    async with make(1) as site:
        await site.tasks.submit("hold", gate.path)
        ids = {path: (await site.start("POST", path))["id"] for path in paths}
        body = {"name": "was task"}
        ids["was task"] = (await site.start("POST", "/tasks", json=body))["id"]
    assert ran == []
    gate.open()
    async with make(2) as site:
        ended = {path: await site.ended(id) for path, id in ids.items()}
        states = {path: record["state"] for path, record in ended.items()}
        assert states == dict.fromkeys(ids, "failed") | {"/kept": "succeeded"}
        assert ran == ["kept"]
        for path, record in ended.items():
            if path != "/kept":
                assert record["error"]["message"]
        for path in ("/gone", "/was-view", "was task"):
            answer = await site.client.post(f"/tasks/{ids[path]}/retry")
            await problem(answer, 409)
    async with make(1) as site:
        for path in ("/gone", "/moved", "/taken", "/was-view", "was task"):
            answer = await site.client.post(f"/tasks/{ids[path]}/retry")
            assert answer.status_code == 202
        await site.tasks.join()
    assert sorted(ran[1:]) == ["gone", "moved", "taken", "was task", "was view"]


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_view_that_was_cut_off_is_run_again(kind: str, tmp_path: Path, gate: Gate) -> None:
    """As soon as the journal is read, which may be before the app has started."""

    def make() -> Site:
        site = Site(TASKS_JOURNAL=tmp_path / "tasks.db")

        @site.tasks.task
        async def child() -> str:
            return "child"

        async def on_loop() -> str:
            progress(1)
            await pass_gate_on_loop(gate.path)
            return (await child.submit()).id

        def in_thread() -> str:
            progress(1)
            pass_gate(gate.path)
            return site.tasks.submit_sync(child).id

        view = on_loop if kind == "async" else in_thread
        site.app.add_url_rule("/view", "view", site.tasks.background(idempotent=True)(view))
        return site

    async with make() as site:
        record = await site.start("GET", "/view")
        await until_progress(site.tasks.get(record["id"]), 1)
    gate.open()
    async with make() as site:
        ended = await site.ended(record["id"])
        assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended["error"]
        child = site.tasks.get(await (await site.result(record["id"])).get_data(as_text=True))
        assert child.record.parent_id == record["id"]


async def test_what_waited_begins_after_the_hooks_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which open what views need: a pool of connections, say."""
    monkeypatch.setattr(service, "READ_SECONDS", HANG)  # the journal is read before the hooks
    order: list[str] = []

    def make(slots: int) -> Site:
        site = Site(TASKS_JOURNAL=tmp_path / "tasks.db", TASKS_ASYNC_CONCURRENCY=slots)

        @site.app.before_serving
        async def open_pool() -> None:
            if slots == 2:  # were they on their way, their starts would be committed before this
                [later] = site.tasks.list(state="scheduled")
                await site.tasks.cancel(later.id)
                for _ in range(100):
                    await asyncio.sleep(0)
            order.append("pool")

        @site.tasks.task
        async def hold() -> None:
            await asyncio.Event().wait()

        @site.tasks.task
        async def task() -> None:
            order.append("task")

        @site.app.get("/view")
        @site.tasks.background
        async def view() -> str:
            order.append("view")
            return ""

        return site

    async with make(1) as site:
        await site.tasks.submit("hold")
        await site.start("GET", "/view")
        await site.tasks.submit("task")
        later = {"name": "task", "options": {"delay": 3600}}
        await site.start("POST", "/tasks", json=later)
    assert order == ["pool"]
    async with make(2) as site:
        await site.tasks.join()
    assert order == ["pool", "pool", "view", "task"]


async def test_plain_task_that_was_cut_off_may_submit(tmp_path: Path, gate: Gate) -> None:
    def make() -> Site:
        site = Site(TASKS_JOURNAL=tmp_path / "tasks.db")

        @site.tasks.task
        async def child() -> str:
            return "child"

        @site.tasks.task(idempotent=True)
        async def parent() -> str:
            progress(1)
            await pass_gate_on_loop(gate.path)
            return await (await child.submit())

        return site

    async with make() as site:
        handle = await site.tasks.submit("parent")
        await until_progress(handle, 1)
    gate.open()
    async with make() as site:
        assert await site.tasks.get(handle.id) == "child"


async def test_idempotency_key_after_a_restart(tmp_path: Path) -> None:
    def make() -> Site:
        site = Site(TASKS_JOURNAL=tmp_path / "tasks.db")

        @site.app.post("/pay")
        @site.tasks.background
        async def pay() -> str:
            return "paid"

        return site

    key = {"Idempotency-Key": "one"}
    async with make() as site:
        ran = await site.run("POST", "/pay", data=b"5", headers=key)
    async with make() as site:
        again = await site.start("POST", "/pay", data=b"5", headers=key)
        assert again["id"] == ran.first["id"]
        answer = await site.client.post("/pay", data=b"6", headers=key)
        await problem(answer, 422)


async def test_what_is_not_durable_is_gone_after_a_restart(tmp_path: Path) -> None:
    def make() -> Site:
        site = Site(TASKS_JOURNAL=tmp_path / "tasks.db")

        @site.app.post("/page")
        @site.tasks.background(durable=False)
        async def page() -> str:
            return "page"

        return site

    async with make() as site:
        ran = await site.run("POST", "/page")
    async with make() as site:
        await problem(await site.result(ran.first["id"]), 404)


@pytest.mark.usefixtures("hasty_journal")
async def test_journal_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "quart_tasks")
    journal = tmp_path / "tasks.db"
    site = Site(TASKS_JOURNAL=journal)

    @site.app.post("/kept")
    @site.tasks.background
    async def kept() -> Any:
        return await request.get_data()

    @site.app.post("/not-kept")
    @site.tasks.background(durable=False)
    async def not_kept() -> Any:
        return await request.get_data()

    async with site:
        other = sqlite3.connect(journal, timeout=HANG, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        refused = await site.client.post("/kept")
        await problem(refused, 503, "journal-unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert site.tasks.list() == []
        other.execute("ROLLBACK")
        other.close()
        while (await site.client.get("/tasks/health")).status_code != 200:
            pass
        assert (await site.run("POST", "/kept", data=b"x")).data == b"x"
        assert (await site.run("POST", "/not-kept", data=b"y")).data == b"y"
