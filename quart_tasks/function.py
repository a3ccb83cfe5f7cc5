"""What `@tasks.task` makes of a function: itself when called, and a task when submitted."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from .definition import NO_OPTIONS, Definition, Options, options_of
from .exceptions import InvalidArguments
from .handle import TaskHandle
from .retry import RetryPolicy

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")  # what a direct call returns: a coroutine, say

IN_FLIGHT = 100  # tasks that `map` keeps unfinished at once


class Submitter(Protocol):
    """The extension, as far as a function needs it."""

    async def submit_call(
        self, definition: Definition, args: Any, kwargs: Any, options: Options,
        retry: RetryPolicy | None,
    ) -> TaskHandle[Any]: ...  # fmt: skip


class Submittable(Generic[P, R]):
    """A definition with options: `submit` and `map` run it as tasks."""

    def __init__(
        self, definition: Definition, submitter: Submitter, options: Options,
        retry: RetryPolicy | None,
    ) -> None:  # fmt: skip
        self.definition = definition
        self._submitter = submitter
        self.options = options
        self.retry_policy = retry

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Run it as a task. Returns when the task is accepted, not when it is done.

        Raises InvalidArguments, QueueFull, Draining, NotStarted.
        """
        return await self._submitter.submit_call(
            self.definition, args, kwargs, self.options, self.retry_policy
        )

    async def map(self, items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[R]:
        """Run it as a task for each item, its one argument; the results in the items' order.

        At most 100 tasks are unfinished at once. The first that fails ends the iteration
        with its error; those in flight are cancelled then, and when the iteration is left.
        """
        flight: deque[TaskHandle[R]] = deque()
        try:
            async for item in _each(items):
                flight.append(await self.submit(item))  # type: ignore[call-arg]
                if len(flight) == IN_FLIGHT:
                    yield await flight[0]
                    flight.popleft()
            while flight:
                yield await flight[0]
                flight.popleft()
        finally:
            for handle in flight:
                await handle.cancel()

    def with_options(
        self, *, delay: float | None = None, eta: datetime | None = None,
        expires: float | None = None, priority: int | None = None, timeout: float | None = None,
        retries: int | RetryPolicy | None = None, key: str | None = None,
    ) -> Submittable[P, R]:  # fmt: skip
        """The same, to be run with these options, beside those given before.

        `delay` in seconds, or `eta` with its offset; `expires`: seconds after acceptance by
        which it must have started; `priority`: higher first; `timeout`: seconds an attempt
        may take; `key`: at most one unfinished task of this definition has it. Raises
        InvalidArguments.
        """
        values = {
            "delay": delay, "eta": eta, "expires": expires, "priority": priority,
            "timeout": timeout, "key": key,
        }  # fmt: skip
        retry = self.retry_policy
        if isinstance(retries, RetryPolicy):
            retry = retries
        else:
            values["retries"] = retries
        known = {name: getattr(self.options, name) for name in Options.__struct_fields__}
        given = {name: value for name, value in values.items() if value is not None}
        if "delay" in given:
            known["eta"] = None
        if "eta" in given:
            known["delay"] = None
        if isinstance(eta, datetime) and eta.tzinfo is None:
            raise InvalidArguments("eta needs an offset from UTC, such as tzinfo=timezone.utc.")
        if delay is not None and eta is not None:
            raise InvalidArguments("Give either delay or eta, not both.")
        return Submittable(self.definition, self._submitter, options_of(known | given), retry)


class TaskFunction(Submittable[P, R], Generic[P, R, C]):
    """A task's function. Called directly it is itself, and no task."""

    __name__: str

    def __init__(self, definition: Definition, submitter: Submitter) -> None:
        super().__init__(definition, submitter, NO_OPTIONS, None)
        functools.update_wrapper(self, definition.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        return self.definition.function(*args, **kwargs)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<task {self.definition.name} on {self.definition.executor}>"


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


TaskDecorator = Callable[[Callable[P, R]], TaskFunction[P, R, Any]]
