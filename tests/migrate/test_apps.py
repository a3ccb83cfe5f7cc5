"""Whole apps: the Flask original and what the codemod makes of it give the same answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from quart_tasks.migrate.run import migrate as in_memory
from tests.migrate.running import (
    ALONE,
    PYTEST,
    Answer,
    Asker,
    Conversation,
    copied,
    migrate,
    run,
    serving,
)


async def pools(server: Asker) -> list[Any]:
    answers = [
        await server.post("/thumbnails", json={"names": ["b", "a"]}),
        await server.post("/mails", data=[("to", "Ada"), ("to", "Bob"), ("subject", "Hi")]),
        await server.post("/mails", data={"to": "Eve"}),
        await server.post("/primes/100"),
        await server.get("/once"),
    ]
    lines = await server.until("/lines", lambda answer: len(answer.body) == 8)
    return [*(answer.told for answer in answers), lines.told]


async def threads(server: Asker) -> list[Any]:
    token = {"X-Token": "letmein"}
    answers = [
        await server.post("/mails/Ada", data={"text": "hello"}),
        await server.post("/mails/Ada", data={"text": "hello"}, headers=token),
        await server.post("/reminders/Bob", headers=token),
        await server.post("/orders/", json={"number": 7}),
        await server.post("/orders/", json={"number": 8, "to": "Eve"}),
    ]
    outbox = await server.until("/outbox", lambda answer: _has_lines(answer, 4))
    return [*(answer.told for answer in answers), outbox.told]


def _has_lines(answer: Answer, count: int) -> bool:
    return answer.status == 200 and len(answer.body["lines"]) == count


async def jobs(server: Asker) -> list[Any]:
    told: list[Any] = []
    for form in ({"text": "a bee and a cow"}, {"text": "a bee", "least": "3"}, {"text": ""}):
        created = await server.post("/jobs", data=form)
        place = created.headers["Location"]
        assert place == f"/jobs/{created.body['id']}"
        ended = await server.until(place, lambda answer: answer.status != 202)
        told += [created.status, ended.told]
    result = await server.get(f"{place}/result")
    unknown = [await server.get("/jobs/nobody"), await server.get("/jobs/nobody/result")]
    return [*told, result.status, *(answer.told for answer in unknown)]


async def recipe(server: Asker) -> list[Any]:
    told: list[Any] = []
    for method, path, options in (
        ("POST", "/reports", {"json": [1, 2, 3]}),
        ("POST", "/reports", {"json": []}),
        ("GET", "/reports/7/monthly?prefix=the+", {}),
        ("GET", "/reports/7/broken", {}),
    ):
        accepted = await server.ask(method, path, **options)
        id = accepted.headers["Location"].rpartition("/")[2]
        ended = await server.until(f"/status/{id}", lambda a: a.status != 202, follow=True)
        # A view that raises is a task that failed: a problem, and no longer the app's 500.
        answer = "failed" if path.endswith("broken") else ended.told
        told += [accepted.status, accepted.body["id"] == id, ended.status < 400, answer]
        told.append(ended.headers.get("X-Report"))
    unknown = await server.get("/status/nobody", follow=True)
    return [*told, unknown.status, (await server.get("/")).told]


async def longtask(server: Asker) -> list[Any]:
    told: list[Any] = [(await server.get("/")).told]
    told.append((await server.post("/", data={"email": "ada", "submit": "Send"})).told)
    # Before the second is sent: if both are late, either may be written first.
    told.append((await server.until("/outbox", lambda answer: _has_mails(answer, 1))).told)
    told.append((await server.post("/", data={"email": "ada", "submit": "Later"})).told)
    told.append((await server.get("/")).told)
    for steps in (10, 100, 1000):  # until it is seen on its way: who is slow looks too late
        first, on_its_way, last = await watched(server, f"steps={steps}")
        if on_its_way:
            break
    told += [first.told, last.told, set(on_its_way[0].body)]
    assert {answer.body["total"] for answer in on_its_way} == {steps}
    first, _, last = await watched(server, "steps=10&fail=yes")
    told += [first.told, last.told]
    told.append((await server.get("/status/nobody")).told)
    told.append((await server.until("/outbox", lambda answer: _has_mails(answer, 2))).told)
    return told


def _has_mails(answer: Answer, count: int) -> bool:
    return answer.status == 200 and len(answer.body) == count


async def watched(server: Asker, query: str) -> tuple[Answer, list[Answer], Answer]:
    """What is answered when a long task is started, on its way, and in the end.

    For one answer the app looks at the task several times, and the task goes on in between. So
    only what lies between two answers of `PROGRESS` is about that alone, and only what is asked
    for after the end about the end.
    """
    first = await server.post(f"/longtask?{query}")
    place = first.headers["Location"]
    on_its_way: list[Answer] = []

    def ended(answer: Answer) -> bool:
        if answer.status == 200 and answer.body["state"] == "PROGRESS":
            on_its_way.append(answer)
        return has_ended(answer)

    await server.until(place, ended)
    return first, on_its_way[1:-1], await server.get(place)


def has_ended(answer: Answer) -> bool:
    """Whether a task of Celery's has. One that fails while the app looks at it gives a 500."""
    return answer.status == 200 and answer.body["state"] in ("SUCCESS", "FAILURE")


async def pages(server: Asker) -> list[Any]:
    url = str(server.url)
    answers = [
        await server.post("/pages", json={"urls": [f"{url}/plain", f"{url}/nowhere"]}),
        await server.get("/length", params={"url": f"{url}/plain"}),
        await server.post("/statuses", data=[("url", f"{url}/plain"), ("url", f"{url}/nowhere")]),
        await server.post("/first", json={"urls": [f"{url}/plain"]}),
    ]
    return [_without_port(answer, url) for answer in answers]


def _without_port(answer: Answer, url: str) -> tuple[int, str, str]:
    return answer.status, answer.type, str(answer.body).replace(url, "")


async def mixed(server: Asker) -> list[Any]:
    editor = {"X-Editor": "Ada"}
    upload = aiohttp.FormData()
    upload.add_field("file", b"one  two", filename="two.txt")
    answers = [
        await server.get("/articles/"),
        await server.post("/articles/", data={"title": "Tides", "text": "a b"}, headers=editor),
        await server.get("/articles/", headers=editor),
        await server.get("/articles/", headers=editor),
        await server.post("/articles/", data={"title": "Tides"}, headers=editor),
        await server.post("/articles/files", data=upload, headers=editor),
        await server.post("/jobs/", json={"text": "banana"}),
        await server.get("/jobs/nobody"),
        await server.get("/publications/nobody"),
        await server.ask("PUT", "/archive/Tides"),
        await server.post("/links", json={"urls": []}),
        await server.get("/nowhere"),
    ]
    told: list[Any] = [answer.told for answer in answers]
    told += [answer.headers["X-Newsroom"] for answer in answers]
    told.append((await server.until("/articles/words", lambda a: len(a.body) == 3)).told)
    for letter in ("a", "an"):
        job = await server.post("/jobs/", json={"text": "banana", "letter": letter})
        ended = await server.until(f"/jobs/{job.body['id']}", lambda a: a.status != 202)
        told += [job.status, ended.told]
    for titles in (["Tides", "Winds"], ["unprintable"]):
        task = await server.post("/publications", json={"titles": titles})
        place = task.headers["Location"]
        ended = await server.until(place, has_ended)
        told += [task.status, place == f"/publications/{task.body['id']}", ended.told]
    told.append((await server.until("/mails", lambda a: bool(a.body))).told)
    summary = await server.post("/summaries/3", json={"text": "Tides"}, headers=editor)
    place = f"/results/{summary.body['id']}"
    ended = await server.until(place, lambda a: a.status != 202, follow=True)
    return [*told, summary.status, ended.told, ended.headers["X-Newsroom"]]


CONVERSATIONS = {
    "pools": ("app:app", pools),
    "threads": ("app:app", threads),
    "jobs": ("app:app", jobs),
    "recipe": ("app:app", recipe),
    "longtask": ("app:app", longtask),
    "pages": ("app:app", pages),
    "mixed": ("wsgi:app", mixed),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_a_migrated_app_answers_as_the_original_does(name: str, tmp_path: Path) -> None:
    app, conversation = CONVERSATIONS[name]
    original, migrated = copied(name, tmp_path / "flask"), copied(name, tmp_path / "quart")
    code, output = await migrate(migrated)
    assert code == 0, output
    told = await asyncio.gather(
        _talk(migrated, app, False, conversation), _talk(original, app, True, conversation)
    )
    assert told[0] == told[1]


async def _talk(path: Path, app: str, is_flask: bool, conversation: Conversation) -> list[Any]:
    async with serving(path, app, is_flask) as server:
        return await conversation(server)


OWN_TESTS = (*PYTEST, "-c", "/dev/null", "--rootdir", ".", "tests")


async def test_an_app_that_mixes_all_six_passes_its_own_tests(tmp_path: Path) -> None:
    original, migrated = copied("mixed", tmp_path / "flask"), copied("mixed", tmp_path / "quart")

    async def migrate_and_test() -> tuple[int, str]:
        code, output = await migrate(migrated)
        assert code == 0, output
        return await run(*OWN_TESTS, "-o", "asyncio_mode=auto", cwd=migrated, **ALONE)

    before = run(*OWN_TESTS, cwd=original, **ALONE)
    for code, output in await asyncio.gather(before, migrate_and_test()):
        assert code == 0, output


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_second_migration_changes_nothing(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    assert in_memory(path).sources
    in_memory(path).write()
    again = in_memory(path)
    assert again.sources == {}
    assert again.is_complete
