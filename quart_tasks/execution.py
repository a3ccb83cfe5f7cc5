"""Run a task's function and make of its end, whatever it is, plain data."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from . import encoding
from .context import TaskContext
from .definition import Definition
from .encoding import StoredResponse, encode, encode_result, too_large
from .events import MAX_FRAME
from .exceptions import InvalidResult
from .record import Error

MAX_OUTPUT = MAX_FRAME - 1024  # bytes; the rest is for the frame around it
MAX_OUTPUTS = 250_000  # each takes about 600 bytes beside its value
YIELD_EVERY = 32  # outputs of an async generator, after which the loop gets a turn


# These two are seen by the cycle collector: an exception's traceback has the frames that hold them.
class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended: with a result (`data`, and its media type if it is a blob or a
    response), with its outputs as the result, or with an error."""

    data: bytes | None = None
    mimetype: str | None = None
    outputs: bool = False
    error: Error | None = None
    retryable: bool = False  # the definition's RetryPolicy covers the error
    exception: BaseException | None = None  # where it was raised in this process
    head: bytes | None = None  # of a background view's response


RetryOn = tuple[type[BaseException], ...]

EMPTY = Outcome(data=b"null")


def run_sync(
    definition: Definition, args: Sequence[Any], kwargs: dict[str, Any], context: TaskContext,
    limit: int, retry_on: RetryOn,
) -> Outcome:  # fmt: skip
    """Run a plain function or generator to its end. Raises nothing. `limit` is
    TASKS_MAX_RESULT_SIZE."""
    try:
        value = definition.function(*args, **kwargs)
        if definition.generator:
            return _drain(value, context, limit)
        return _succeeded(value, limit)
    except BaseException as error:  # noqa: BLE001 - sys.exit() too ends the task and no more
        return failed(error, retry_on)


async def run_async(
    definition: Definition, args: Sequence[Any], kwargs: dict[str, Any], context: TaskContext,
    limit: int, retry_on: RetryOn,
) -> Outcome:  # fmt: skip
    """Run a coroutine function or async generator to its end. Raises nothing."""
    try:
        called = definition.function(*args, **kwargs)
        if definition.generator:
            return await _drain_async(called, context, limit)
        return _succeeded(await called, limit)
    except BaseException as error:  # noqa: BLE001 - sys.exit() too ends the task and no more
        return failed(error, retry_on)


def _succeeded(value: Any, limit: int) -> Outcome:
    if value is None:
        return EMPTY
    if isinstance(value, StoredResponse):
        return Outcome(value.data, value.mimetype, head=value.head)
    data, mimetype = encode_result(value, limit)
    return Outcome(data, mimetype)


def _drain(values: Generator[Any, Any, Any], context: TaskContext, limit: int) -> Outcome:
    size = count = 0
    try:
        for value in values:
            size = _output(value, context, size, limit)
            count += 1
            _check_count(count)
    finally:
        values.close()
    return Outcome(outputs=True)


async def _drain_async(
    values: AsyncGenerator[Any, Any], context: TaskContext, limit: int
) -> Outcome:
    size = count = 0
    async with aclosing(values):
        async for value in values:
            size = _output(value, context, size, limit)
            count += 1
            _check_count(count)
            if count % YIELD_EVERY == 0:  # a generator that never waits must not hold the loop
                await asyncio.sleep(0)
    return Outcome(outputs=True)


def _check_count(count: int) -> None:
    if count > MAX_OUTPUTS:
        raise InvalidResult(
            f"A task may yield at most {MAX_OUTPUTS:,} values, as each is kept: yield lists of "
            f"them."
        )


def _output(value: Any, context: TaskContext, size: int, limit: int) -> int:
    """Send one output; the size of all so far."""
    try:
        data = encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidResult(
            f"An output of type {type(value).__name__!r} is not JSON: {error}. Yield plain data."
        ) from None
    if len(data) > MAX_OUTPUT:
        raise InvalidResult(
            f"An output has {len(data):,} bytes and a frame carries {MAX_OUTPUT:,}. Yield less "
            f"at a time."
        )
    size += len(data) + 1
    if size > limit:
        raise InvalidResult(too_large("list of outputs", size, limit))
    context.output(bytes(data))
    return size


def failed(error: BaseException, retry_on: RetryOn = ()) -> Outcome:
    """The outcome of an attempt that raised."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename == __file__:
        own = own.tb_next
    try:
        lines = traceback.format_exception(type(error), error, own)
    except BaseException as second:  # noqa: BLE001 - its __str__ or __cause__ may do anything
        lines = [f"{type(error).__name__}, whose traceback cannot be formatted: {second!r}"]
    described = Error(
        type(error).__name__,
        encoding.text(error) or type(error).__name__,
        encoding.text("".join(lines), 32 * 1024),
    )
    retryable = isinstance(error, retry_on) and not isinstance(error, InvalidResult)
    return Outcome(error=described, retryable=retryable, exception=error)
