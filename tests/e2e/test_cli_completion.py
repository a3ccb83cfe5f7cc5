"""Shell completion, asked for as shells do."""

import os
import subprocess
from pathlib import Path

import pytest

from .serving import HANG
from .shell import COMMAND, Shell, environment


def question(line: str, kind: str = "bash") -> dict[str, str]:
    """The variables by which a shell asks what it may offer for the last word of a line."""
    words = line.split(" ")
    return {
        "_QUART_TASKS_COMPLETE": f"{kind}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": words[-1] if kind == "fish" else str(len(words) - 1),
    }


def answer(done: str) -> list[str]:
    return [each.partition(",")[2] for each in done.splitlines() if each]


def completed(shell: Shell, line: str, kind: str = "bash") -> list[str]:
    """What a shell is offered; without a process of its own, which takes a second."""
    done = shell.call(TASKS_COMPLETION_TIMEOUT=str(HANG), **question(line, kind))
    assert (done.exit_code, done.stderr) == (0, "")
    return answer(done.stdout)


def test_a_shell_asks_in_a_process(shell: Shell) -> None:
    known = environment(shell.url, **question("quart-tasks submit opened st"))
    done = subprocess.run(COMMAND, env=known, capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stderr) == (0, "")
    assert answer(done.stdout) == ["steps="]


def test_commands_and_states(shell: Shell) -> None:
    assert completed(shell, "quart-tasks re") == ["result", "retry"]
    assert completed(shell, "quart-tasks list --state s") == ["scheduled", "succeeded"]


def test_names_and_arguments_are_the_servers(shell: Shell) -> None:
    assert completed(shell, "quart-tasks submit o") == ["opened"]
    assert completed(shell, "quart-tasks list --name sa") == ["same"]
    assert completed(shell, "quart-tasks types ta") == ["talk"]
    assert completed(shell, "quart-tasks submit opened ") == ["gate=", "steps="]
    assert completed(shell, "quart-tasks submit opened steps=1 ") == ["gate="]
    assert completed(shell, f"quart-tasks submit --url {shell.url} opened s") == ["steps="]
    elsewhere = Shell("http://127.0.0.1:9")
    assert completed(elsewhere, f"quart-tasks submit --url {shell.url} o") == ["opened"]


def test_names_with_what_a_terminal_obeys_are_left_out(shell: Shell) -> None:
    assert [each for each in completed(shell, "quart-tasks submit ") if "\x1b" in each] == []


def test_ids_are_of_tasks_that_fit(shell: Shell) -> None:
    done = shell.out("submit", "same", "--watch", "--json").splitlines()[0]
    waiting = shell.json("submit", "same", "--delay", "1h")["id"]
    ended = shell.json("list", "--state", "succeeded")["tasks"][0]["id"]
    assert done
    assert set(completed(shell, "quart-tasks show ")) == {waiting, ended}
    assert completed(shell, f"quart-tasks show {ended[:18]}") == [ended]
    assert completed(shell, "quart-tasks cancel ") == [waiting]
    assert completed(shell, f"quart-tasks cancel {waiting} ") == []
    assert completed(shell, "quart-tasks retry ") == [ended]
    [offered] = completed(shell, "quart-tasks retry ", "fish")
    assert offered == f"{ended}\tsame succeeded"


def test_no_server_is_no_completion_and_no_word() -> None:
    assert completed(Shell("http://127.0.0.1:9"), "quart-tasks submit o") == []


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_the_script_names_the_command(kind: str) -> None:
    script = Shell("http://127.0.0.1:9").out("completion", kind)
    assert "_QUART_TASKS_COMPLETE" in script
    assert "quart-tasks" in script


def test_bash_takes_the_script_and_puts_no_blank_behind_an_argument(
    shell: Shell, tmp_path: Path
) -> None:
    program = tmp_path / "quart-tasks"
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    script = """
set -e
eval "$(quart-tasks completion bash)"
compopt() { echo "$@"; }
COMP_WORDS=(quart-tasks submit opened s) COMP_CWORD=3
$(complete -p quart-tasks | sed 's/.*-F \\([^ ]*\\) .*/\\1/') quart-tasks
echo "${COMPREPLY[@]}"
"""
    known = environment(shell.url, PATH=f"{tmp_path}:{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "-c", script], env=known, capture_output=True, text=True, timeout=HANG
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["-o nospace", "steps="]
