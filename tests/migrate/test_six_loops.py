"""Loops in requests become plain awaits."""

from __future__ import annotations

import textwrap

import pytest

from tests.migrate.cases import migrated

HEAD = """\
import asyncio

from quart import Quart

app = Quart(__name__)


async def fetch(n=1):
    return n


"""

SHAPES = {
    "a loop and its end": (
        """
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            # both
            found = loop.run_until_complete(asyncio.gather(fetch(), fetch(2)))
        finally:
            loop.close()
            asyncio.set_event_loop(None)
        return str(found)
        """,
        """
        # both
        found = await asyncio.gather(fetch(), fetch(2))
        return str(found)
        """,
    ),
    "errors are still caught": (
        """
        loop = asyncio.new_event_loop()
        try:
            return str(loop.run_until_complete(fetch()))
        except ValueError:
            return "bad"
        finally:
            loop.close()
        """,
        """
        try:
            return str(await fetch())
        except ValueError:
            return "bad"
        """,
    ),
    "tasks of the loop": (
        """
        loop = asyncio.get_event_loop()
        tasks = [loop.create_task(fetch(n)) for n in range(3)]
        done = loop.run_until_complete(asyncio.gather(*tasks))
        return str(done)
        """,
        """
        tasks = [asyncio.create_task(fetch(n)) for n in range(3)]
        done = await asyncio.gather(*tasks)
        return str(done)
        """,
    ),
    "the loop as an argument": (
        """
        loop = asyncio.new_event_loop()
        task = asyncio.ensure_future(fetch(), loop=loop)
        return str(loop.run_until_complete(task) + 1)
        """,
        """
        task = asyncio.ensure_future(fetch())
        return str(await task + 1)
        """,
    ),
    "a loop without a name": (
        """
        return str(asyncio.new_event_loop().run_until_complete(fetch()))
        """,
        """
        return str(await fetch())
        """,
    ),
    "asyncio.run": (
        """
        return str(asyncio.run(fetch(), debug=True).real)
        """,
        """
        return str((await fetch()).real)
        """,
    ),
}


def indented(text: str) -> str:
    return textwrap.indent(textwrap.dedent(text).strip(), "    ") + "\n"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shapes_of_a_loop(shape: str) -> None:
    before, after = SHAPES[shape]
    source = f'{HEAD}@app.get("/")\ndef index():\n{indented(before)}'
    sources, found = migrated({"app.py": source})
    assert sources["app.py"].endswith(f"async def index():\n{indented(after)}")
    assert [each for each in found if each.kind == "left"] == []


def test_helpers_around_a_loop_become_async() -> None:
    source = f"""{HEAD}def run(coroutine):
    return asyncio.run(coroutine)


class Pages:
    def all(self):
        return run(fetch())


@app.get("/")
def index():
    return str(Pages().all())
"""
    sources, found = migrated({"app.py": source})
    assert "async def run(coroutine):\n    return await coroutine\n" in sources["app.py"]
    assert "        return await run(fetch())\n" in sources["app.py"]
    assert "    return str(await Pages().all())\n" in sources["app.py"]
    assert [each for each in found if each.kind == "left"] == []


def test_the_loop_of_the_server_is_left_in_peace() -> None:
    source = f"""{HEAD}@app.get("/")
async def index():
    loop = asyncio.get_event_loop()
    return await loop.run_in_executor(None, str)
"""
    sources, found = migrated({"app.py": source})
    assert sources["app.py"] == source
    assert [each for each in found if each.kind == "left"] == []


LEFT = {
    "another use of the loop": """
        loop = asyncio.new_event_loop()
        loop.run_until_complete(loop.run_in_executor(None, print))
        return "ok"
        """,
    "a loop that is handed on": """
        loop = asyncio.new_event_loop()
        print(loop)
        return loop.run_until_complete(fetch())
        """,
    "a lambda": """
        run = lambda: asyncio.run(fetch())
        return run()
        """,
}


@pytest.mark.parametrize("shape", LEFT)
def test_what_is_left(shape: str) -> None:
    source = f'{HEAD}@app.get("/")\ndef index():\n{indented(LEFT[shape])}'
    sources, found = migrated({"app.py": source})
    assert [each.code for each in found if each.kind == "left"] == ["QT107"]
    for line in LEFT[shape].strip().splitlines():
        assert line.strip() in sources["app.py"]


def test_scripts_and_threads_keep_their_loops() -> None:
    source = f"""from threading import Thread
{HEAD}def in_thread():
    asyncio.run(fetch())


@app.get("/")
async def index():
    Thread(target=in_thread).start()
    return "ok"


async def main():
    return await fetch()


if __name__ == "__main__":
    asyncio.run(main())
"""
    sources, found = migrated({"app.py": source})
    assert "def in_thread():\n    asyncio.run(fetch())\n" in sources["app.py"]
    assert "    asyncio.run(main())\n" in sources["app.py"]
    assert "    await in_thread.submit()\n" in sources["app.py"]
    assert [each for each in found if each.kind == "left"] == []
