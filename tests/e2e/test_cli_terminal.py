"""The command line on a terminal: bars, colours, Ctrl-C, and a server that goes and comes back."""

import asyncio
import re
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from quart_tasks.client import TasksClient

from ..proxy import proxy_to
from ..waiting import Gate
from .serving import HANG, serving
from .shell import APP, CTRL_C, Shell

COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-9]m")
FOREIGN = re.compile(rb"\x1b\[2J|\x1b\]|\x07|\xc2\x9b|\xe2\x80\xae")


def submit(shell: Shell, *words: str) -> str:
    return shell.out("submit", *words).strip()


# Bars


def test_a_bar_is_drawn_in_place_and_gives_way_to_the_result(shell: Shell, gate: Gate) -> None:
    with shell.terminal("submit", "opened", f"gate={gate.path}", "--watch") as terminal:
        terminal.until("━─")
        terminal.until("50 %")
        terminal.until("waiting")
        gate.open()
        assert terminal.end() == 0
    # A command that is held up at its end draws the bar once more, and wipes it.
    bar = r"(opened  ━[^\n]+\r\r\n\r)?"
    end = rf'opened [0-9a-f-]+ ✓ succeeded in [^\n]+\n{bar}"opened"\n$'
    assert re.search(end, terminal.text)
    assert b"\x1b[2K" in terminal.raw, "the bar is wiped"
    assert COLOUR.search(terminal.raw)


def test_the_running_ones_come_first_and_the_rest_is_counted(shell: Shell, gate: Gate) -> None:
    waiting = [submit(shell, "same", "--delay", "5d") for _ in range(5)]
    running = [submit(shell, "opened", f"gate={gate.path}") for _ in range(3)]
    with shell.terminal("watch", *waiting, *running, rows=6) as terminal:
        place = terminal.until("… and 4 more: 4 scheduled")
        frame = terminal.text[:place].splitlines()[-5:]
        assert ["opened" in line for line in frame] == [True, True, True, False, False]
        assert "starts in 5 d" in frame[3]
        gate.open()
        for id in waiting:
            shell.out("cancel", id)
        assert terminal.end() == 1
    assert terminal.text.count("✓ succeeded") == 3
    assert terminal.text.count("⊘ cancelled") == 5


def test_logs_and_outputs_stand_above_the_bar(shell: Shell) -> None:
    with shell.terminal("submit", "talk", 'words=["one", "two"]', "--watch") as terminal:
        assert terminal.end() == 0
    found = [terminal.text.index(text) for text in ("WARNING now one", " one\n", "now two", "✓")]
    assert found == sorted(found)


def test_no_line_is_longer_than_the_terminal(shell: Shell, gate: Gate) -> None:
    ids = [submit(shell, "opened", f"gate={gate.path}") for _ in range(2)]
    for words in (["types"], ["types", "opened"], ["list"], ["show", ids[0]], ["stats"]):
        with shell.terminal(*words, columns=60) as terminal:
            assert terminal.end() == 0
        assert max(map(len, terminal.text.splitlines())) <= 60, terminal.text
    with shell.terminal("watch", *ids, columns=60) as terminal:
        terminal.until("50 %")
        gate.open()
        assert terminal.end() == 0
    drawn = [line for line in re.split(r"[\r\n]", terminal.text) if "━" in line]
    assert drawn
    assert max(map(len, drawn)) <= 60


def test_no_color_is_honoured_and_a_dumb_terminal_gets_lines(shell: Shell) -> None:
    with shell.terminal("list", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert not COLOUR.search(terminal.raw)
    with shell.terminal("submit", "same", "value=1", "--watch", TERM="dumb") as terminal:
        assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw
    assert re.search(r"same succeeded in .*: 1\n1\n$", terminal.text)


def test_bytes_are_not_thrown_at_a_terminal(shell: Shell) -> None:
    with shell.terminal("submit", "letter", "text=hello\x07", "--watch") as terminal:
        assert terminal.end() == 0
    assert (
        "It is text/plain; charset=utf-8, 6 bytes. Write it to a file:\n  quart-tasks result"
        in terminal.text
    )
    assert b"\x07" not in terminal.raw


def test_what_tasks_say_is_shown_and_not_obeyed(shell: Shell) -> None:
    name = "[red]evil\x1b[2J[/red]"
    id = submit(shell, "evil")
    for words in (
        ["watch", id], ["submit", name, "--watch"], ["show", id], ["show", id, "--json"], ["list"],
        ["types"],
    ):  # fmt: skip
        with shell.terminal(*words) as terminal:
            terminal.end()
        assert not FOREIGN.search(terminal.raw), words
        assert "[red]" in terminal.text, words


# Ctrl-C


def test_ctrl_c_leaves_and_says_how_to_come_back(shell: Shell, gate: Gate) -> None:
    with shell.terminal("submit", "opened", f"gate={gate.path}", "--watch") as terminal:
        terminal.until("50 %")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    back = re.search(r"opened goes on\. Come back with:\n  quart-tasks (watch \S+)", terminal.text)
    assert back is not None, terminal.text
    assert "Ctrl-C again within 2 s cancels it." in terminal.text
    with shell.terminal(*back[1].split()) as terminal:
        terminal.until("50 %")
        gate.open()
        assert terminal.end() == 0


def test_a_second_ctrl_c_cancels_and_waits_for_the_end(shell: Shell, gate: Gate) -> None:
    ids = [submit(shell, "opened", f"gate={gate.path}") for _ in range(2)]
    with shell.terminal("watch", *ids, again=HANG) as terminal:
        terminal.until("50 %")
        terminal.press(CTRL_C)
        terminal.until("2 tasks go on.")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    assert terminal.text.count("⊘ cancelled after") == 2
    assert [shell.json("show", id)["state"] for id in ids] == ["cancelled"] * 2


def test_a_third_ctrl_c_leaves_what_does_not_end(shell: Shell, gate: Gate) -> None:
    words = ["submit", "stubborn", f"gate={gate.path}", "--watch"]
    with shell.terminal(*words, again=HANG) as terminal:
        terminal.until("running")
        terminal.press(CTRL_C)
        terminal.until("stubborn goes on.")
        terminal.press(CTRL_C)
        terminal.until("Cancelling stubborn.")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    record = shell.json("list", "--name", "stubborn")["tasks"][0]
    assert (record["state"], record["cancel_requested"]) == ("running", True)
    assert "cancelling" in shell.out("list", "--name", "stubborn")
    gate.open()
    shell.call("watch", record["id"])  # to its end: the next test may look at all that runs


def test_ctrl_c_at_output_says_how_to_get_the_result(
    shell: Shell, gate: Gate, tmp_path: Path
) -> None:
    file = str(tmp_path / "out")
    words = ["submit", "opened", f"gate={gate.path}", "--output", file, "--url", shell.url]
    with shell.terminal(*words, columns=300, again=0.1) as terminal:
        terminal.until("50 %")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    back = re.search(rf"quart-tasks (result \S+ --wait --output {file} --url=\S+)\n", terminal.text)
    assert back is not None, terminal.text
    gate.open()
    assert shell.call(*back[1].split()).exit_code == 0
    assert Path(file).read_text() == '"opened"\n'


def test_watch_without_ids_shows_what_comes_and_just_leaves(shell: Shell, gate: Gate) -> None:
    with shell.terminal("watch") as terminal:
        terminal.until("Ctrl-C leaves")
        id = submit(shell, "opened", f"gate={gate.path}")
        terminal.until(f"opened  {id[:13]}")
        assert shell.out("submit", "same", "value=5", "--watch") == "5\n"
        terminal.until("✓ succeeded in")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    assert "go" not in terminal.text.rpartition("succeeded")[2]
    assert shell.json("show", id)["state"] == "running"
    gate.open()
    shell.out("result", id, "--wait")


# A server that goes


async def test_a_server_that_restarts_is_waited_for(tmp_path: Path, gate: Gate) -> None:
    more: dict[str, Any] = {"TASKS_JOURNAL": str(tmp_path / "db"), "TASKS_DRAIN_TIMEOUT": "0"}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(APP, **more))
        proxy = await stack.enter_async_context(proxy_to(server.url))
        async with TasksClient(proxy.url) as client:
            task = await client.submit("opened", gate.path)
        with Shell(proxy.url).terminal("watch", task.id) as terminal:
            await apart(terminal.until, "50 %")
            proxy.refuses = True
            await server.end(signal.SIGKILL)
            await apart(terminal.until, "is away; waiting for it.")
            server = await stack.enter_async_context(serving(APP, **more))
            proxy.port = int(server.url.rpartition(":")[2])
            proxy.refuses = False
            await apart(terminal.until, "The server is back.")
            gate.open()
            assert await apart(terminal.end) == 0
        assert "✓ succeeded" in terminal.text


async def test_a_task_that_the_server_has_lost_is_told(gate: Gate) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(APP))
        proxy = await stack.enter_async_context(proxy_to(server.url))
        async with TasksClient(proxy.url) as client:
            task = await client.submit("opened", gate.path)
        with Shell(proxy.url).terminal("watch", task.id, columns=200) as terminal:
            await apart(terminal.until, "50 %")
            proxy.refuses = True
            await server.end(signal.SIGKILL)
            server = await stack.enter_async_context(serving(APP))
            proxy.port = int(server.url.rpartition(":")[2])
            proxy.refuses = False
            assert await apart(terminal.end) == 2
        assert f"does not know {task.id} any more" in terminal.text


async def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Wait for a terminal while the proxy goes on."""
    return await asyncio.to_thread(function, *arguments)
