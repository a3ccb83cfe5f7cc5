"""The command line through pipes: plain text, JSON, files and exit codes."""

import json
import re
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ..waiting import Gate
from .serving import HANG, ROOT
from .shell import COMMAND, Shell, command, environment, served

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
COMMANDS = [
    "submit", "list", "show", "watch", "result", "cancel", "retry", "types", "stats", "serve",
    "demo", "migrate", "completion",
]  # fmt: skip


def submitted(shell: Shell, *words: str) -> str:
    return shell.out("submit", *words).strip()


def ended(shell: Shell, *words: str) -> str:
    id = submitted(shell, *words)
    shell.call("watch", id)
    return id


def started(shell: Shell, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, env=environment(shell.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


# Submitting


def test_submit_prints_the_id_and_the_other_commands_take_its_beginning(shell: Shell) -> None:
    id = submitted(shell, "same", "value=[1, 2]", "--priority", "3")
    assert UUID.fullmatch(id)
    assert json.loads(shell.out("result", id[:20], "--wait")) == [1, 2]
    record = shell.json("show", id[:20].upper())
    assert (record["id"], record["state"], record["priority"]) == (id, "succeeded", 3)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("value=1.5", 1.5),
        ("value=null", None),
        ("value=text", "text"),
        ('value="5"', "5"),
        ("value=a=b", "a=b"),
        ("value=", ""),
        ("value=NaN", "NaN"),
    ],
)
def test_values_are_json_or_else_text(word: str, value: object) -> None:
    from quart_tasks.cli.values import arguments

    assert arguments((word,)) == {"value": value}


def test_options_are_those_of_the_record(shell: Shell) -> None:
    words = ["submit", "same", "--delay", "5d", "--key", "only", "--expires", "7d"]
    record = shell.json(*words)
    assert (record["state"], record["key"]) == ("scheduled", "only")
    assert shell.json(*words)["id"] == record["id"]
    assert "in 5 d" in shell.out("list", "--state", "scheduled")
    assert "cancelled" in shell.out("cancel", record["id"])
    at = shell.json("submit", "same", "--eta", "2090-01-01T12:00+02:00")
    assert at["scheduled_for"] == "2090-01-01T10:00:00.000000Z"
    shell.out("cancel", at["id"])


def test_watch_tells_on_stderr_and_the_result_is_all_on_stdout(shell: Shell) -> None:
    done = shell.run("submit", "talk", 'words=["one", "two"]', "--watch")
    assert (done.returncode, json.loads(done.stdout)) == (0, ["one", "two"])
    lines = [line.split(" ", 4)[3:] for line in done.stderr.splitlines()]
    assert ["talk", "WARNING now one"] in lines
    assert ["talk", "two"] in lines
    assert lines[-1][1].startswith("succeeded in ")


def test_a_failed_task_exits_1_with_its_traceback_on_stderr(shell: Shell, tmp_path: Path) -> None:
    failed = shell.run("submit", "broken", "--output", str(tmp_path / "never"))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Traceback (most recent call last):" in failed.stderr
    assert failed.stderr.endswith("ValueError: as asked\n")
    assert not (tmp_path / "never").exists()
    id = shell.json("list", "--name", "broken", "--limit", "1")["tasks"][0]["id"]
    for words in (["watch", id], ["result", id], ["retry", id, "--watch"]):
        again = shell.call(*words)
        assert again.exit_code == 1
        assert "Traceback" in again.stderr
    assert "ValueError: as asked" in shell.out("show", id)


def test_an_attempt_that_failed_is_told_and_the_next_one_counts(shell: Shell, gate: Gate) -> None:
    words = [*COMMAND, "submit", "flaky", f"gate={gate.path}", "--watch"]
    with started(shell, *words) as watching:
        assert watching.stderr is not None
        assert any("flaky running" in line for line in iter(watching.stderr.readline, ""))
        gate.open()
        result, rest = watching.communicate(timeout=HANG)
    assert result == "2\n"
    assert "attempt 1 of 2 failed: ValueError: not yet; again" in rest


# Results


def test_output_writes_bytes_as_they_are_and_all_else_as_json(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "letter"
    done = shell.run("submit", "letter", "text=a\tb\x1b", "--output", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"Wrote {file} (text/plain; charset=utf-8, 4 bytes)." in done.stderr
    assert file.read_bytes() == b"a\tb\x1b"
    id = ended(shell, "report", "rows=4000")
    shell.out("result", id, "--output", str(file))
    assert json.loads(file.read_text()) == "row\n" * 4000
    assert shell.out("submit", "letter", "text=hello", "--output", "-") == "hello"


def test_a_result_that_is_not_there_yet_is_told(shell: Shell, gate: Gate) -> None:
    id = submitted(shell, "opened", f"gate={gate.path}")
    assert f"result {id[:18]} --wait" in shell.refused("result", id)
    gate.open()
    assert shell.out("result", id, "--wait") == '"opened"\n'


def test_what_cannot_be_written_is_refused_before_anything_runs(shell: Shell) -> None:
    count = len(shell.json("list", "--all")["tasks"])
    assert "There is no directory" in shell.refused("submit", "same", "-o", "/nowhere/at/all")
    assert "is a directory" in shell.refused("submit", "same", "-o", "/")
    assert "give one of them" in shell.refused("submit", "same", "-o", "-", "--json")
    assert len(shell.json("list", "--all")["tasks"]) == count


# Lists


def test_list_filters_and_is_cut_to_its_limit(shell: Shell) -> None:
    first = ended(shell, "letter", "text=a")
    second = ended(shell, "letter", "text=b")
    lines = shell.out("list", "--name", "letter", "--limit", "2").splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATE", "CREATED", "TOOK"]
    assert [line.split()[0] for line in lines[1:]] == [second, first]
    assert lines[1].endswith("text/plain; charset=utf-8, 1 byte")
    assert shell.json("list", "--q", first)["tasks"][0]["id"] == first
    nothing = shell.call("list", "--state", "failed", "--name", "letter")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "There are no such tasks. `quart-tasks list` shows all" in nothing.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--name", "leter"], "Did you mean letter? `quart-tasks list`"),
        (["--name", "same", "-q", "nowhere"], "no such tasks. `quart-tasks list`"),
        (
            ["-q", "name:same state:failed"],
            "-q looks for a text: is `quart-tasks list --name=same --state=failed` meant?",
        ),
    ],
)
def test_filters_that_nothing_fits_say_what_may_be_meant(
    shell: Shell, words: list[str], says: str
) -> None:
    done = shell.call("list", *words)
    assert (done.exit_code, done.stdout) == (0, "")
    assert says in done.stderr
    assert shell.json("list", *words)["tasks"] == []


def test_types_show_what_can_be_submitted(shell: Shell) -> None:
    lines = shell.out("types").splitlines()
    assert re.search(r"^opened +gate \[steps\] +Come half of the way", "\n".join(lines), re.M)
    one = shell.out("types", "opened")
    assert re.search(r"^gate +str +required$", one, re.M)
    assert re.search(r"^steps +int +2$", one, re.M)
    assert "submit opened gate=text --watch" in one
    other = shell.out("types", "draw")
    assert re.search(r"^point +\{x, y\} +required$", other, re.M)
    assert re.search(r'^colour +"blue" or "red" +"red"$', other, re.M)
    assert re.search(r"^size +int or None +null$", other, re.M)
    assert "submit draw 'point={…}' --watch" in other
    assert "At most 1 min 30 s an attempt, at most 1 at once" in other
    assert shell.json("types", "opened")["parameters"]["required"] == ["gate"]
    assert "Did you mean opened?" in shell.refused("types", "open")


def test_stats_count(shell: Shell) -> None:
    submitted(shell, "same", "--watch")
    stats = shell.json("stats")
    assert stats["names"]["same"]["succeeded"] >= 1
    assert re.search(r"^async +1,000 +0 +0$", shell.out("stats"), re.M)


# Watching


def test_watch_prints_an_event_a_line_until_all_have_ended(shell: Shell, gate: Gate) -> None:
    ids = [submitted(shell, "opened", f"gate={gate.path}") for _ in range(2)]
    with started(shell, *COMMAND, "watch", *ids) as watching:
        assert watching.stdout is not None
        seen = [watching.stdout.readline() for _ in ids]
        gate.open()
        seen += watching.stdout.readlines()
        assert watching.wait(HANG) == 0
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [0-9a-f-]{36} opened ", x) for x in seen)
    assert [sum(f"{id} opened succeeded in" in line for line in seen) for id in ids] == [1, 1]


def test_json_lines_are_the_events(shell: Shell) -> None:
    lines = shell.out("submit", "talk", 'words=["one"]', "--watch", "--json").splitlines()
    events = [json.loads(line) for line in lines]
    assert {"log", "output"} < {event["type"] for event in events}
    assert events[-1]["type"] == "state"
    assert events[-1]["data"]["result"] == ["one"]
    id = events[-1]["task_id"]
    assert json.loads(shell.out("watch", id, "--json").splitlines()[-1])["task_id"] == id


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_watching_and_not_the_task(
    shell: Shell, gate: Gate, number: int, code: int
) -> None:
    words = ["submit", "opened", f"gate={gate.path}", "--watch"]
    with started(shell, *command(again=0.1), *words) as watching:
        assert watching.stderr is not None
        id = watching.stderr.readline().split()[2]
        watching.send_signal(number)
        out, errors = watching.communicate(timeout=HANG)
    assert (watching.returncode, out) == (code, "")
    assert (f"watch {id[:18]}" in errors) == (number == signal.SIGINT)
    assert shell.json("show", id)["state"] == "running"
    gate.open()
    shell.out("result", id, "--wait")


def test_a_reader_that_has_enough_ends_it_quietly(shell: Shell) -> None:
    words = " ".join([*COMMAND, "watch --json"])
    with started(shell, "sh", "-c", f"{words} | {{ head -n 1; exec <&-; echo gone; }}") as reading:
        assert reading.stdout is not None
        assert json.loads(reading.stdout.readline())["type"] == "snapshot"
        assert reading.stdout.readline() == "gone\n"
        submitted(shell, "same")  # something to write
        _, errors = reading.communicate(timeout=HANG)
    assert errors == ""


# Changing


def test_cancel_and_retry(shell: Shell, gate: Gate) -> None:
    ids = [submitted(shell, "opened", f"gate={gate.path}") for _ in range(2)]
    assert "is running" in shell.refused("retry", ids[0])
    shell.out("cancel", *ids)
    assert shell.call("watch", *ids).exit_code == 1
    assert [shell.json("show", id)["state"] for id in ids] == ["cancelled", "cancelled"]
    assert shell.call("result", ids[0]).exit_code == 1
    assert "had ended already" in shell.out("cancel", ids[0])
    again = shell.json("retry", ids[0])
    assert again["retry_of"] == ids[0]
    gate.open()
    assert shell.out("result", again["id"], "--wait") == '"opened"\n'


def test_cancel_cancels_all_or_none(shell: Shell, gate: Gate) -> None:
    id = submitted(shell, "opened", f"gate={gate.path}")
    for other in ("nope1", "0123", "01a1fd00-0000-7000-8000-000000000000"):
        refusal = shell.refused("cancel", id, other)
        assert other in refusal
        assert refusal.endswith(" Nothing was cancelled.\n")
    assert not shell.json("show", id)["cancel_requested"]
    gate.open()
    shell.out("result", id, "--wait")


# Refusals


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("submit sames", r"no task 'sames'\. Did you mean same\? `quart-tasks types`"),
        ("submit opened steps=x", r"gate is missing"),
        ("submit opened steps=x", r"steps: Expected `int`, got `str`.*types opened`"),
        ("submit opened gate=5", r"gate: Expected `str`.*gate='\"…\"'"),
        ("submit opened gate=x foo=1", r"foo: there is no such parameter; there are: gate, steps"),
        ("submit same value", r"'value' is not key=value"),
        ("submit same value=1 value=2", r"value is given twice"),
        (
            "submit talk words=one",
            r"words: Expected `array`, got `str`\. It.*words='\[\"a\", \"b\"\]'",
        ),
        ('submit talk words=["one"', r"words: .*; what is no valid JSON is text\."),
        ("submit draw point=5", r"point: Expected `object`, got `int`\. It.*point='\{\"a\": 1\}'"),
        ("submit same --key x --retries 5", r"--retries"),
        ("show 0123", r"no task whose id begins with '0123'.*`quart-tasks list`"),
        ("show 01a1fd00-0000-7000-8000-000000000000", r"no task 01a1fd00-0.*`quart-tasks list`"),
        ("show nonsense", r"'nonsense' is no task's id"),
        ("list --prefix /elsewhere", r"404.*prefix"),
        ("list --url ftp://x", r"no server's root"),
        ("list --all --limit 1", r"--all .* not both"),
    ],
)
def test_what_is_refused_says_what_to_do(shell: Shell, words: str, says: str) -> None:
    assert re.search(says, shell.refused(*words.split()))


@pytest.mark.parametrize("path", ["/tasks", "/tasks/", "/tasks/ui"])
def test_a_url_that_has_the_prefix_too_is_told(shell: Shell, path: str) -> None:
    id = ended(shell, "same")
    for words in (
        ["list"], ["types"], ["stats"], ["watch"], ["submit", "same"], ["show", id], ["cancel", id],
        ["show", id[:20]],
    ):  # fmt: skip
        assert f"try --url={shell.url}.\n" in shell.refused(*words, "--url", f"{shell.url}{path}")
    assert shell.json("list", "--url", f"{shell.url}/")["tasks"]


def test_an_ambiguous_id_names_some(shell: Shell) -> None:
    ids = [ended(shell, "same") for _ in range(2)]
    assert ids[0] in shell.refused("show", ids[0][:4])


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    done = Shell("http://127.0.0.1:9").run("list")  # within less than the client's own patience
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"Error: .* cannot be reached: .* --url or TASKS_URL .*\n", done.stderr)


def test_another_site_is_told_from_a_server() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as site:
        Thread(target=site.serve_forever, daemon=True).start()
        shell = Shell(f"http://127.0.0.1:{site.server_port}")
        for words in (["list"], ["types"], ["stats"], ["watch"], ["show", "01a1"]):
            assert "is not of quart_tasks" in shell.refused(*words)
        site.shutdown()


def test_a_token_and_a_full_queue() -> None:
    with served(TASKS_TOKEN="secret", TASKS_MAX_PENDING="1") as shell:
        assert "TASKS_TOKEN" in shell.refused("list", "--token", "wrong")
        words, known = ["submit", "same", "--delay", "1h"], {"TASKS_TOKEN": "secret"}
        assert shell.call(*words, **known).exit_code == 0
        assert "submit again later" in shell.refused(*words, **known)


# Around it


def test_what_tasks_say_reaches_no_terminal_raw(shell: Shell) -> None:
    evil = shell.run("submit", "evil", "--watch")
    assert evil.returncode == 1
    id = shell.json("list", "--name", "evil", "--limit", "1")["tasks"][0]["id"]
    name = "[red]evil\x1b[2J[/red]"
    ended(shell, name)
    outputs = [evil.stdout, evil.stderr]
    for words in (
        ["list"], ["list", "--json"], ["show", id], ["show", id, "--json"], ["watch", id],
        ["watch", id, "--json"], ["result", id], ["types"], ["types", name], ["stats"],
        ["submit", f"{name}x"], ["submit", name, "--watch"],
    ):  # fmt: skip
        done = shell.call(*words)
        outputs += [done.stdout, done.stderr]
    assert [CONTROLS.findall(output) for output in outputs] == [[] for _ in outputs]
    assert r"\x1b[2J" in evil.stderr
    assert "[red]x[/red]" in evil.stderr
    assert r"[red]evil\x1b[2J[/red]" in "".join(outputs)


@pytest.mark.parametrize(
    ("module", "words"), [("aiohttp", "list"), ("rich", "submit same -w"), ("hypercorn", "demo")]
)
def test_ctrl_c_while_a_command_still_imports_is_one_too(module: str, words: str) -> None:
    script = """
import signal, sys
class CtrlC:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)
from quart_tasks.cli import cli
sys.meta_path.insert(0, CtrlC())
cli(sys.argv[2:])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, module, *words.split()],
        env=environment("http://127.0.0.1:9"), cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_client_needs_nothing_of_the_server(shell: Shell) -> None:
    script = """
import sys
from quart_tasks.cli import cli
try:
    cli(["list"])
finally:
    print({"quart", "hypercorn", "flask", "libcst"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(shell.url), cwd=ROOT, capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "set()")


def test_help_needs_nothing_at_all() -> None:
    script = """
import sys
from quart_tasks.cli import cli
for command in cli.commands.values():
    text = command.get_help(command.make_context("quart-tasks", [], resilient_parsing=True))
    print(command.name, "Examples:" in text)
print({"quart", "hypercorn", "aiohttp", "rich"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert {f"{name} True" for name in COMMANDS} <= set(lines)
    assert lines[-1] == "set()"
