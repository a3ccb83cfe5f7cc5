"""What every executor must do alike: one suite, run for each of them."""

import gc
import logging
import time
import weakref
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, g, has_request_context

from quart_tasks import (
    Blob,
    InvalidArguments,
    Progress,
    TaskFailed,
    TaskHandle,
    WorkerCrashed,
    current_task,
    progress,
    track,
)
from quart_tasks.executors import worker as workers

from .sample_tasks import Cart, Item, Point, make_app, tasks
from .waiting import HANG, Gate, all_events, until_progress

MAX_RESULT_SIZE = 400_000  # more than a frame carries, so that both limits are met
MAX_FRAME = 256 * 1024


@pytest.fixture(params=["async", "thread", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["async", "thread"])
def inside(request: pytest.FixtureRequest) -> str:
    """The executors that run tasks in the app's own process."""
    return str(request.param)


@pytest.fixture
async def app() -> AsyncIterator[Quart]:
    app = make_app(TASKS_MAX_RESULT_SIZE=MAX_RESULT_SIZE)
    async with app.test_app():
        yield app


@pytest.fixture
def gate(app: Quart, tmp_path: Path) -> Any:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


async def submit(name: str, executor: str, *args: Any, **kwargs: Any) -> TaskHandle[Any]:
    return await tasks.submit(f"{name}-{executor}", *args, **kwargs)


async def run(name: str, executor: str, *args: Any, **kwargs: Any) -> Any:
    return await (await submit(name, executor, *args, **kwargs))


async def detail(app: Quart, handle: TaskHandle[Any]) -> dict[str, Any]:
    response = await app.test_client().get(f"/tasks/{handle.id}")
    return await response.get_json()  # type: ignore[no-any-return]


# -- results -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("point", Point(1, 2.5)),
        ("moment", datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
        ("items", [Item("pen", 3), Item("ink", 12)]),
        ("unique", {1, 2, 3}),
        ("raw", b"\x00\xff not text"),
        ("empty_raw", b""),
        ("picture", Blob(b"\x89PNG", "image/png")),
        ("nothing", None),
        ("unannotated", [1, {"x": 1, "y": 2.5}, "2026-11-21T08:30:00Z"]),
        ("item_stream", [Item("pen", 3), Item("ink", 12)]),
        ("empty_stream", []),
    ],
)
async def test_result_is_what_the_return_annotation_names(
    app: Quart, executor: str, name: str, expected: Any
) -> None:
    result = await run(name, executor)
    assert result == expected
    assert type(result) is type(expected)


async def test_json_values_come_back_as_they_were(app: Quart, executor: str) -> None:
    value = [0, "", False, [], {}, None, "null", [None], -(2**63), 1.5, "ünï\u2028\x00", {"": 1}]
    assert await run("echo", executor, value) == value
    for each in value:
        result = await run("echo", executor, each)
        assert result == each
        assert type(result) is type(each)


async def test_record_describes_the_result(app: Quart, executor: str) -> None:
    handle = await submit("items", executor)
    await handle
    record = handle.record
    assert (record.state, record.executor, record.attempt) == ("succeeded", executor, 1)
    assert record.result == [{"name": "pen", "price": 3}, {"name": "ink", "price": 12}]
    assert record.result_type == "application/json"
    assert record.result_size == len('[{"name":"pen","price":3},{"name":"ink","price":12}]')
    assert record.worker
    assert record.created_at <= (record.started_at or "") <= (record.finished_at or "")


async def test_record_of_a_blob_has_its_type_and_size_and_not_its_bytes(
    app: Quart, executor: str
) -> None:
    handle = await submit("picture", executor)
    await handle
    record = handle.record
    assert (record.result, record.result_type, record.result_size) == (None, "image/png", 4)


async def test_result_over_8_kib_is_left_out_of_the_record_alone(app: Quart, executor: str) -> None:
    handle = await submit("returns_text", executor, 10_000)
    assert await handle == "x" * 10_000
    assert (handle.record.result, handle.record.omitted) == (None, ("result",))
    whole = await detail(app, handle)
    assert (whole["result"], whole["omitted"]) == ("x" * 10_000, [])


# -- arguments -----------------------------------------------------------------------------


async def test_arguments_become_what_the_hints_name(app: Quart, executor: str) -> None:
    as_json = await submit(
        "typed", executor, "2026-11-21T08:00:00Z", {"x": 1, "y": 2}, {"name": "pen", "price": 3},
        tags=["b", "a"],
    )  # fmt: skip
    as_objects = await submit(
        "typed", executor, datetime(2026, 11, 21, 8, tzinfo=UTC), Point(1, 2), Item("pen", 3),
        tags={"b", "a"},
    )  # fmt: skip
    expected = [2026, 3, ["pen"], ["a", "b", "z"]]
    assert await as_json == expected
    assert await as_objects == expected
    assert as_json.record.args[0] == "2026-11-21T08:00:00Z"
    assert as_objects.record.args[1:] == [{"x": 1, "y": 2.0}, {"name": "pen", "price": 3}]


async def test_arguments_that_do_not_fit_are_refused_before_there_is_a_task(
    app: Quart, executor: str
) -> None:
    with pytest.raises(InvalidArguments) as refusal:
        await submit("typed", executor, "yesterday", {"x": "one"}, Item("pen", 3), tag=["a"])
    pointers = [pointer for pointer, _ in refusal.value.errors]
    assert sorted(pointers) == ["#/args/0", "#/args/1/x", "#/kwargs/tag"]
    with pytest.raises(InvalidArguments, match="when"):
        await submit("typed", executor)
    assert tasks.list() == []


async def test_what_json_cannot_carry_stays_in_this_process(app: Quart, inside: str) -> None:
    cart = Cart()
    handle = await submit("identity", inside, cart, 3)
    assert await handle == id(cart)
    assert handle.record.args == ["<a cart>", 3]


async def test_what_json_cannot_carry_is_refused_for_a_process(app: Quart) -> None:
    with pytest.raises(InvalidArguments, match="process"):
        await submit("echo", "process", object())
    assert tasks.list() == []


# -- progress ------------------------------------------------------------------------------


async def test_progress_reaches_record_and_events(app: Quart, executor: str) -> None:
    handle = await submit("steps", executor, 3)
    events = await all_events(handle)
    assert handle.progress is not None
    assert (handle.progress.current, handle.progress.total) == (3, 3)
    assert handle.progress.message == "step 3"
    reports = [event.data for event in events if event.type == "progress"]
    assert reports[-1] == {"current": 3, "total": 3, "message": "step 3", "attempt": 1}
    assert [report["current"] for report in reports] == sorted(
        {report["current"] for report in reports}
    )


async def test_last_progress_arrives_though_no_other_follows(
    app: Quart, executor: str, gate: Gate
) -> None:
    handle = await submit("hold", executor, gate.path, steps=5)
    await until_progress(handle, 5)
    assert handle.state == "running"
    gate.open()
    assert await handle == "held"


async def test_a_million_reports_make_few_events(app: Quart, executor: str) -> None:
    began = time.monotonic()
    handle = await submit("steps", executor, 1_000_000)
    events = await all_events(handle)
    seconds = time.monotonic() - began
    reports = [event for event in events if event.type == "progress"]
    assert reports[-1].data["current"] == 1_000_000
    # 20 a second, and the first and the last
    assert len(reports) <= 20 * seconds + 2


async def test_progress_that_is_no_number_fails_the_task(app: Quart, executor: str) -> None:
    with pytest.raises(TaskFailed, match="number") as failure:
        await run("misreports", executor)
    assert failure.value.type == "TypeError"


async def test_track_reports_and_passes_items_on(app: Quart, executor: str) -> None:
    handle = await submit("tracks", executor, 4)
    assert await handle == [0, 1, 2, 3]
    assert handle.record.progress is not None
    assert handle.record.progress.current == handle.record.progress.total == 4
    assert handle.record.progress.message == "counting"


@pytest.mark.parametrize("total", [None, 6])
async def test_track_of_an_iterator_has_the_total_it_is_told(
    app: Quart, executor: str, total: int | None
) -> None:
    handle = await submit("tracks_unsized", executor, total)
    assert await handle == [5, 6, 7]
    assert handle.progress is not None
    assert (handle.progress.current, handle.progress.total) == (3, total)


async def test_track_takes_an_async_iterable(app: Quart) -> None:
    handle = await tasks.submit("tracks_async")
    assert await handle == [0, 1, 2]
    assert handle.record.progress == Progress(3, 3, "counting")


async def test_outside_a_task_progress_does_nothing_and_track_only_iterates() -> None:
    async def letters() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    assert current_task() is None
    progress(1, 2, "three")
    assert list(track("ab")) == ["a", "b"]
    assert [letter async for letter in track(letters())] == ["a", "b"]


async def test_current_task_tells_who_runs(app: Quart, executor: str) -> None:
    handle = await submit("whoami", executor)
    assert await handle == [handle.id, f"whoami-{executor}", 1, False]


# -- log lines -----------------------------------------------------------------------------


async def test_log_lines_become_events_and_are_kept(app: Quart, executor: str) -> None:
    handle = await submit("says", executor)
    lines = [event.data for event in await all_events(handle) if event.type == "log"]
    assert [(line["level"], line["logger"], line["attempt"]) for line in lines] == [
        ("INFO", "sample", 1),
        ("WARNING", "sample.part", 1),
        ("ERROR", "sample", 1),
    ]
    assert [line["message"] for line in lines[:2]] == ["1 of 2", "careful"]
    assert lines[2]["message"].startswith("went wrong\nTraceback")
    assert lines[2]["message"].endswith("KeyError: 'lost'")
    kept = (await detail(app, handle))["logs"]
    assert [{**line, "time": None} for line in kept] == [{**line, "time": None} for line in lines]
    assert all(line["time"] for line in kept)


async def test_log_lines_appear_once_in_the_servers_log(
    app: Quart, executor: str, caplog: pytest.LogCaptureFixture
) -> None:
    await run("says", executor)
    lines = [(each.levelname, each.getMessage()) for each in caplog.records]
    assert lines.count(("INFO", "1 of 2")) == 1
    assert lines.count(("WARNING", "careful")) == 1


async def test_the_last_hundred_log_lines_are_kept(app: Quart, executor: str) -> None:
    handle = await submit("chatters", executor, 150)
    await handle
    kept = (await detail(app, handle))["logs"]
    assert [line["message"] for line in kept] == [str(n) for n in range(50, 150)]


async def test_a_long_log_line_is_cut(app: Quart, executor: str) -> None:
    handle = await submit("chatters", executor, 1, length=2 * MAX_FRAME)
    await handle
    (line,) = (await detail(app, handle))["logs"]
    assert 100 < len(line["message"]) < MAX_FRAME
    assert line["message"].startswith("0...")


# -- outputs -------------------------------------------------------------------------------


async def test_outputs_come_in_order_and_before_the_end(app: Quart, executor: str) -> None:
    handle = await submit("counts", executor, 100)
    events = await all_events(handle)
    outputs = [event.data for event in events if event.type == "output"]
    assert outputs == [{"index": n, "value": {"n": n}, "attempt": 1} for n in range(100)]
    assert events[-1].type == "state"
    assert events[-1].data["state"] == "succeeded"
    assert await handle == [{"n": n} for n in range(100)]
    # in order with the log lines between them, too
    said = [
        event.data["message"] if event.type == "log" else event.data["index"]
        for event in events
        if event.type in ("log", "output")
    ]
    assert said == [each for n in range(100) for each in ([f"at {n}", n] if n % 10 == 0 else [n])]


async def test_many_outputs_all_arrive(app: Quart, executor: str) -> None:
    assert await run("counts", executor, 5_000) == [{"n": n} for n in range(5_000)]


async def test_the_end_does_not_overtake_large_outputs(app: Quart, executor: str) -> None:
    for _ in range(10):
        handle = await submit("yields_texts", executor, 3, 130_000)
        events = await all_events(handle)
        assert [len(event.data["value"]) for event in events if event.type == "output"] == [
            130_000
        ] * 3
        assert [len(value) for value in await handle] == [130_000] * 3


async def test_outputs_before_a_failure_are_not_lost(app: Quart, executor: str) -> None:
    handle = await submit("counts_then_fails", executor, 3)
    events = await all_events(handle)
    assert [event.data["value"] for event in events if event.type == "output"] == [0, 1, 2]
    assert events[-1].data["state"] == "failed"
    with pytest.raises(TaskFailed, match="no more"):
        await handle


# -- ways to end badly ---------------------------------------------------------------------


async def test_failure_carries_type_message_and_traceback(app: Quart, executor: str) -> None:
    handle = await submit("raises_value", executor)
    with pytest.raises(TaskFailed, match="no luck") as failure:
        await handle
    error = failure.value
    assert (error.type, error.message) == ("ValueError", "no luck")
    assert error.traceback is not None
    assert "in raises_value" in error.traceback
    assert error.traceback.rstrip().endswith("ValueError: no luck")
    assert handle.record.state == "failed"
    assert handle.record.error is not None
    assert handle.record.error.type == "ValueError"
    assert handle.record.error.traceback == error.traceback


async def test_failure_here_has_the_original_as_its_cause(app: Quart, inside: str) -> None:
    with pytest.raises(TaskFailed) as failure:
        await run("raises_unpicklable", inside)
    assert type(failure.value.__cause__).__name__ == "TwoParts"


async def test_failure_in_a_process_has_no_cause(app: Quart) -> None:
    with pytest.raises(TaskFailed) as failure:
        await run("raises_unpicklable", "process")
    assert failure.value.__cause__ is None


LIMIT = f"{MAX_RESULT_SIZE:,}"
BAD = [
    # the task, its arguments, the error's type, and what its message says
    ("raises_value", (), "ValueError", "no luck"),
    ("raises_base", (), "Abandon", "all hope"),
    ("raises_unpicklable", (), "TwoParts", "7: odd"),
    ("raises_unprintable", (), "Unprintable", "Unprintable"),
    ("raises_surrogate", (), "ValueError", r"half \ud800"),
    ("raises_cancelled", (), "CancelledError", "nobody asked"),
    ("exits", (), "SystemExit", "good bye"),
    ("exits_silently", (), "SystemExit", "SystemExit"),
    ("interrupts", (), "KeyboardInterrupt", "KeyboardInterrupt"),
    ("closes", (), "GeneratorExit", "GeneratorExit"),
    ("recurses", (), "RecursionError", "recursion"),
    ("counts_then_fails", (3,), "ValueError", "no more"),
    ("returns_object", (), "InvalidResult", "object"),
    ("returns_nan", (), "InvalidResult", "NaN"),
    ("returns_infinity", (), "InvalidResult", "infinity"),
    ("returns_surrogate", (), "InvalidResult", "str"),
    ("returns_circle", (), "InvalidResult", "list"),
    ("returns_text", (MAX_RESULT_SIZE,), "InvalidResult", LIMIT),
    ("returns_bytes", (MAX_RESULT_SIZE + 1,), "InvalidResult", LIMIT),
    ("yields_texts", (1, MAX_FRAME), "InvalidResult", "Yield less"),
    ("yields_texts", (5, 100_000), "InvalidResult", LIMIT),
    ("yields_object", (), "InvalidResult", "object"),
]


@pytest.mark.parametrize(("name", "args", "type", "says"), BAD)
async def test_bad_end_is_an_error_logged_once_and_nothing_else(
    app: Quart,
    executor: str,
    caplog: pytest.LogCaptureFixture,
    name: str,
    args: tuple[Any, ...],
    type: str,
    says: str,
) -> None:
    handle = await submit(name, executor, *args)
    with pytest.raises(TaskFailed) as failure:
        await handle
    assert handle.state == "failed"
    assert failure.value.type == type
    assert says in failure.value.message
    assert failure.value.traceback is not None
    assert type in failure.value.traceback
    logged = [
        logging.Formatter().format(each)
        for each in caplog.records
        if each.name == "quart_tasks" and each.levelno >= logging.ERROR
    ]
    assert len(logged) == 1
    assert handle.id in logged[0]
    assert failure.value.traceback.rstrip() in logged[0]
    assert await run("echo", executor, "still here") == "still here"


async def test_stop_iteration_is_a_failure_like_others(app: Quart, executor: str) -> None:
    with pytest.raises(TaskFailed) as failure:
        await run("raises_stop", executor)
    # Python makes a RuntimeError of it where it would leave a coroutine
    assert failure.value.type == ("RuntimeError" if executor == "async" else "StopIteration")
    assert await run("echo", executor, "still here") == "still here"


async def test_result_of_just_the_largest_size_is_kept(app: Quart, executor: str) -> None:
    assert len(await run("returns_text", executor, MAX_RESULT_SIZE - 2)) == MAX_RESULT_SIZE - 2
    assert len(await run("returns_bytes", executor, MAX_RESULT_SIZE)) == MAX_RESULT_SIZE


async def test_a_process_that_dies_fails_its_task_alone(
    app: Quart, caplog: pytest.LogCaptureFixture, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine its exit code may come more than a second after the end of its socket.
    monkeypatch.setattr(workers, "LAST_WORDS_SECONDS", HANG)
    other = await submit("hold", "process", gate.path)
    await until_progress(other, 1)
    with pytest.raises(WorkerCrashed, match="SIGKILL"):
        await (await tasks.submit("dies", 1))
    logged = [each for each in caplog.records if each.name == "quart_tasks" and each.levelno >= 40]
    assert len(logged) == 1
    assert await run("echo", "process", "still here") == "still here"
    gate.open()
    assert await other == "held"


# -- the app -------------------------------------------------------------------------------


async def test_each_attempt_has_an_app_context_of_its_own(app: Quart, inside: str) -> None:
    torn_down: list[bool] = []

    @app.teardown_appcontext
    async def teardown(_: BaseException | None) -> None:
        torn_down.append("mark" in g)

    async with app.app_context():
        g.mark = True
        handles = [await submit("where", inside) for _ in range(2)]
    assert [await handle for handle in handles] == [[app.name, True, False]] * 2
    assert torn_down == [True] * 3


async def test_a_process_task_has_no_app(app: Quart) -> None:
    assert await run("where", "process") is None


async def test_a_task_sees_and_holds_nothing_of_the_request_that_submitted_it(
    inside: str, tmp_path: Path
) -> None:
    class Upload:
        pass

    app = make_app()
    gate = Gate(tmp_path / "gate")
    uploads: list[weakref.ref[Upload]] = []
    ids: list[str] = []

    @app.post("/uploads")
    async def create() -> Any:
        g.mark = Upload()
        uploads.append(weakref.ref(g.mark))
        assert has_request_context()
        ids.append((await submit("where", inside)).id)
        held = await submit("hold", inside, gate.path)
        ids.append(held.id)
        return held.accepted()

    async with app.test_app():
        response = await app.test_client().post("/uploads")
        assert response.status_code == 202
        where, held = map(tasks.get, ids)
        await until_progress(held, 1)
        assert await where == [app.name, True, False]
        gc.collect()
        assert held.state == "running"
        assert uploads[0]() is None
        gate.open()
        assert await held == "held"
    gate.close()
