"""A named function with its options."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from .arguments import Parameters
from .encoding import EMPTY_LIST, EMPTY_OBJECT, decode, encode, text
from .exceptions import InvalidArguments, InvalidDefinition, UnknownTask
from .retry import NO_RETRY, RetryPolicy

ExecutorName = Literal["async", "thread", "process"]

TEN_YEARS = 315_360_000.0  # seconds; further ahead than any delay makes sense
Delay = Annotated[float, Meta(ge=0, le=TEN_YEARS)]
Span = Annotated[float, Meta(gt=0, le=TEN_YEARS)]
Priority = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Key = Annotated[str, Meta(min_length=1, max_length=255)]


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False,
              forbid_unknown_fields=True):  # fmt: skip
    """How one task is to be run; None leaves it to the definition. Times in seconds, `eta`
    with its offset from UTC."""

    delay: Delay | None = None
    eta: Annotated[datetime, Meta(tz=True)] | None = None
    expires: Span | None = None
    priority: Priority | None = None
    timeout: Span | None = None
    retries: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    key: Key | None = None


NO_OPTIONS = Options()


def options_of(values: dict[str, Any]) -> Options:
    """Checked options. Raises InvalidArguments."""
    try:
        options = msgspec.convert(values, Options)
    except msgspec.ValidationError as error:
        raise InvalidArguments(f"The task's options do not fit: {error}.") from None
    if options.delay is not None and options.eta is not None:
        raise InvalidArguments(errors=[("#/options/eta", "give either delay or eta, not both")])
    return options


def _check_options(options: Options) -> None:
    """Refuse what fits its type and still cannot be written down. Raises InvalidArguments."""
    if options.key is not None:
        try:
            options.key.encode()
        except UnicodeEncodeError:
            raise InvalidArguments(
                errors=[("#/options/key", "has half a surrogate pair, which no text may have")]
            ) from None


class Definition:
    """A function, the name it is submitted by, and how its tasks are run.

    Raises InvalidDefinition for a function that cannot run in that executor, and for an
    option that does not fit.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        executor: ExecutorName | None = None,
        timeout: float | None = None,
        retries: int | RetryPolicy = NO_RETRY,
        concurrency: int | None = None,
        priority: int = 0,
        idempotent: bool = False,
        public: bool = True,
        durable: bool = True,
        view: bool = False,
    ) -> None:
        if not callable(function):
            raise InvalidDefinition(f"{function!r} is not a function.")
        self.function = function
        self.view = view  # it handles kept requests, on the loop but for a sync view itself
        self.name: str = name or str(getattr(function, "__name__", ""))
        if not self.name or len(self.name) > 255:
            raise InvalidDefinition(f"{function!r} needs a name: pass name='…'.")
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        self.executor: ExecutorName = executor or ("async" if is_async else "thread")
        self.generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
            function
        )
        self._check_executor(is_async)
        try:
            self.retry = RetryPolicy.of(retries)
            msgspec.convert({"timeout": timeout, "priority": priority}, Options)
        except (ValueError, TypeError) as error:
            raise InvalidDefinition(f"Task {self.name!r}: {error}") from None
        if concurrency is not None and concurrency < 1:
            raise InvalidDefinition(f"Task {self.name!r}: concurrency must be at least 1.")
        self.timeout = timeout
        self.concurrency = concurrency
        self.priority = priority
        self.idempotent = idempotent
        self.public = public
        self.durable = durable
        self.parameters = Parameters(function)
        self.doc = inspect.getdoc(function)

    def _check_executor(self, is_async: bool) -> None:
        if self.executor not in ("async", "thread", "process"):
            raise InvalidDefinition(
                f"Task {self.name!r}: executor is {self.executor!r}; it must be 'async', 'thread' "
                f"or 'process'."
            )
        if not self.view and is_async != (self.executor == "async"):
            kind, fits = ("async def", "'async'") if is_async else ("def", "'thread' or 'process'")
            raise InvalidDefinition(
                f"Task {self.name!r} is a plain `{kind}` function: its executor must be {fits}."
            )
        if self.executor == "process":
            qualname = getattr(self.function, "__qualname__", "<lambda>")
            if "<" in qualname or "." in qualname:
                raise InvalidDefinition(
                    f"Task {self.name!r} cannot run in a process: {qualname!r} is a closure, a "
                    f"lambda or a method, which another process cannot import. Define it at the "
                    f"top level of a module."
                )
            main = sys.modules["__main__"]
            if self.function.__module__ == "__main__" and not hasattr(main, "__file__"):
                raise InvalidDefinition(
                    f"Task {self.name!r} cannot run in a process: it was defined at a prompt, "
                    f"where no other process finds it. Put it into a file."
                )

    @property
    def reference(self) -> tuple[str, str]:
        """Module and name under which a child process finds the decorated function."""
        return self.function.__module__, self.function.__qualname__

    def options(self) -> dict[str, Any]:
        """What `GET /tasks/types` shows."""
        return {
            "timeout": self.timeout,
            "retries": self.retry.retries,
            "concurrency": self.concurrency,
            "priority": self.priority,
            "idempotent": self.idempotent,
            "durable": self.durable,
        }


class Submission(msgspec.Struct, frozen=True, gc=False):
    """What a task is made of, checked: the step from a request or a call to a record. `kept` is a
    background view's request, which no record shows."""

    definition: Definition
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    json_args: msgspec.Raw = EMPTY_LIST
    json_kwargs: msgspec.Raw = EMPTY_OBJECT
    replayable: bool = True  # the JSON is all that the arguments are
    options: Options = NO_OPTIONS
    retry: RetryPolicy | None = None
    owner: str | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    idempotency: tuple[Any, ...] | None = None
    kept: bytes | None = None


def prepare(
    definition: Definition, args: Sequence[Any], kwargs: dict[str, Any], **more: Any
) -> Submission:
    """Check arguments and encode them. Raises InvalidArguments, and UnknownTask for a background
    view, whose tasks are made by requests alone.

    What JSON cannot carry may go to this process's loop and threads; the record then shows
    its repr.
    """
    _check_options(more.get("options", NO_OPTIONS))
    if definition.view:
        raise UnknownTask(
            f"{definition.name!r} is a background view: it is run by a request to its route."
        )
    if not args and not kwargs and definition.parameters.none:
        return Submission(definition, **more)
    checked_args, checked_kwargs = definition.parameters.check(args, kwargs)
    replayable = True
    json_args, json_kwargs = EMPTY_LIST, EMPTY_OBJECT
    try:
        try:
            if args:
                json_args = encode(args)
            if kwargs:
                json_kwargs = encode(kwargs)
        except TypeError as error:
            if definition.executor == "process":
                raise InvalidArguments(
                    f"The arguments of {definition.name!r} go to another process as JSON, and "
                    f"these cannot: {error}. Pass plain data."
                ) from None
            replayable = False
            json_args = encode([_shown(value) for value in args])
            json_kwargs = encode({name: _shown(value) for name, value in kwargs.items()})
    except (ValueError, RecursionError, OverflowError) as error:
        raise InvalidArguments(f"The arguments are not JSON: {error}.") from None
    return Submission(
        definition, checked_args, checked_kwargs, json_args, json_kwargs, replayable, **more
    )


def prepare_again(
    definition: Definition, args: msgspec.Raw | bytes, kwargs: msgspec.Raw | bytes,
    kept: bytes | None, **more: Any,
) -> Submission:  # fmt: skip
    """A submission from what was kept of an earlier one. Raises InvalidArguments."""
    if kept is None:
        return prepare(definition, decode(args), decode(kwargs), **more)
    if not definition.view:
        raise InvalidArguments(f"{definition.name!r} is no background view any more")
    shown = msgspec.Raw(bytes(kwargs))
    return Submission(definition, (kept,), {}, EMPTY_LIST, shown, kept=kept, **more)


def _shown(value: Any) -> Any:
    try:
        encode(value)
    except TypeError:
        return text(repr(value), 1000)
    return value
