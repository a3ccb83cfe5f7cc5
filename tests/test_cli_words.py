"""What the command line says in words, and what it lets through to a terminal."""

import json

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quart_tasks.cli import cli
from quart_tasks.cli.options import moment, seconds
from quart_tasks.cli.words import ago, clean, clock, duration, short, size, to_json

NOW = 1_800_000_000.0
CONTEXT = click.Context(cli)
OPTION = click.Option(["--delay"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-0.5, "0.0 ms"),
        (0.0004, "0.4 ms"),
        (0.25, "250 ms"),
        (0.999, "1.0 s"),
        (3.24, "3.2 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (185, "3 min 5 s"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(value: float, words: str) -> None:
    assert duration(value) == words


def test_a_clock_shows_no_fractions() -> None:
    assert [clock(each) for each in (-1, 0.6, 9.97, 61.4)] == ["0 s", "1 s", "10 s", "1 min 1 s"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "just now"),
        (12, "12 s ago"),
        (200, "3 min ago"),
        (-7_190, "in 2 h"),
        (-3_599, "in 1 h"),
        (3 * 86_400, "3 d ago"),
    ],
)
def test_times_as_seen_from_now(seconds: float, words: str) -> None:
    from datetime import UTC, datetime

    assert ago(datetime.fromtimestamp(NOW - seconds, UTC).isoformat(), NOW) == words


def test_sizes() -> None:
    words = [size(count) for count in (0, 1, 999, 1_000, 48_140, 999_960, 16_777_216)]
    assert words == ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "48.1 kB", "1.0 MB", "16.8 MB"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    controls = {*map(chr, range(32)), *map(chr, range(127, 160)), "\u202e"}
    assert not set(clean(text)) & controls
    assert not set(clean(text, lines=True)) & (controls - {"\n"})
    assert json.loads(to_json(text)) == text
    assert not set(to_json([text], indent=2)) & {"\x1b", "\x9b", "\r", "\u202e"}


def test_lines_stay_lines_only_where_they_may() -> None:
    assert clean("a\tb\n\x1b[2J", lines=True) == "a   b\n\\x1b[2J"
    assert clean("a\tb\n") == r"a\tb\n"


def test_a_long_value_is_cut() -> None:
    assert short("x" * 500, 10) == '"xxxxxxxx…'
    assert short({"a": 1}) == '{"a": 1}'


def test_times_of_options() -> None:
    given = [seconds(CONTEXT, OPTION, text) for text in ("90", "1.5s", "5m", "5min", "2h", "1d")]
    assert given == [90, 1.5, 300, 300, 7_200, 86_400]
    for text in ("", "-5", "soon", "5 weeks"):
        with pytest.raises(click.BadParameter, match="such as 90s"):
            seconds(CONTEXT, OPTION, text)
    at = moment(CONTEXT, OPTION, "2026-11-21T18:30+02:00")
    assert at is not None
    assert at.timestamp() == 1_795_278_600
    with pytest.raises(click.BadParameter, match="as in 2026"):
        moment(CONTEXT, OPTION, "tomorrow")


def test_under_another_command_hints_name_that() -> None:
    from click.testing import CliRunner

    group = click.Group("quart", commands={"tasks": cli})
    done = CliRunner().invoke(group, ["tasks", "list", "--url", "http://127.0.0.1:9"])
    assert done.exit_code == 2
    assert "`quart tasks demo`" in done.stderr
