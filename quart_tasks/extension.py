"""QuartTasks: what an app is extended with."""

from __future__ import annotations

import asyncio
import builtins
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from quart import Quart, current_app, has_app_context

from . import background, config
from .catalog import AuthorizeHook, Catalog
from .definition import NO_OPTIONS, Definition, ExecutorName, Options
from .exceptions import (
    InvalidArguments,
    InvalidDefinition,
    JournalRefused,
    NotStarted,
    QuartTasksError,
)
from .function import Submittable, TaskFunction
from .handle import TaskHandle
from .record import STATES, Record, State
from .retry import NO_RETRY, RetryPolicy
from .service import Service, in_child
from .shutdown import patient
from .task import Filter
from .web.blueprint import CREATE, blueprint
from .web.shortcut import Shortcut
from .web.surface import Surface

if TYPE_CHECKING:
    import aiohttp

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V", bound=Callable[..., Any])

NAME = "QUART_TASKS"


class TaskDecorator(Protocol):
    """`@tasks.task(...)`, typed by what it decorates."""

    @overload
    def __call__(
        self, function: Callable[P, AsyncGenerator[R, Any] | AsyncIterator[R]], /
    ) -> TaskFunction[P, list[R], AsyncIterator[R]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Generator[R, Any, Any] | Iterator[R]], /
    ) -> TaskFunction[P, list[R], Iterator[R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R, R]: ...


class QuartTasks:
    """Background tasks for a Quart app: `tasks = QuartTasks(app)`, or `QuartTasks()` and
    `tasks.init_app(app)`.

    One object may serve several apps: definitions are shared, state belongs to one app and
    one start. A call is about the current app, else about the only one that was started.
    """

    def __init__(self, app: Quart | None = None) -> None:
        self._catalog = Catalog()
        self._apps = 0
        self._services: dict[Quart, Service] = {}
        self.refused: JournalRefused | None = None  # why the app could not start
        self._only: Service | None = None  # of the only app there is, while it is started
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Add the routes under TASKS_URL_PREFIX, and start and stop with the app.

        Raises QuartTasksError if the app has the extension already, InvalidConfig for a bad
        prefix.
        """
        if NAME in app.extensions:
            raise QuartTasksError("This app has a QuartTasks already: one serves all its tasks.")
        app.extensions[NAME] = self
        self._apps += 1
        prefix = config.load_prefix(app.config)
        if prefix is not None:
            get_service = partial(self._service, app)
            app.register_blueprint(blueprint(get_service, prefix))
            app.asgi_app = Surface(  # type: ignore[method-assign, assignment]
                app.asgi_app,  # type: ignore[arg-type]
                prefix,
                lambda: self._max_body(app),
                Shortcut(app, get_service, prefix, CREATE),
            )
        background.keep_bodies(app)
        app.test_app_class = patient(app.test_app_class)
        app.before_serving(partial(self._open, app))
        app.after_serving(partial(self._close, app))

    async def _open(self, app: Quart) -> None:
        background.check_classes(app)
        service = Service(app, config.load(app.config), self._catalog)
        try:
            await service.open()
        except JournalRefused as error:
            self.refused = error
            raise
        self._services[app] = service
        self._only = service if self._apps == 1 else None
        # The last that the start comes to, as it goes through the list.
        app.while_serving_gens.append(self._serving(app, service))

    async def _serving(self, app: Quart, service: Service) -> AsyncGenerator[None, None]:
        """While the app serves, after all its hooks: they may make what its tasks need."""
        service.runner.begin()
        yield
        app.while_serving_gens.pop()  # an app may be started again

    async def _close(self, app: Quart) -> None:
        service = self._services.get(app)
        if service is not None:
            await service.close()
            del self._services[app]
            self._only = None

    def _service(self, app: Quart | None = None) -> Service:
        """Raises NotStarted, or QuartTasksError where it is not clear which app is meant."""
        if self._only is not None:
            return self._only
        if app is None and has_app_context():
            app = cast(Any, current_app)._get_current_object()
        if app is not None and (service := self._services.get(app)) is not None:
            return service
        in_child()
        if app is None or app.extensions.get(NAME) is not self:
            if len(self._services) == 1:
                return next(iter(self._services.values()))
            if self._services:
                raise QuartTasksError(
                    "Several apps are started and none is current: use `async with "
                    "app.app_context():`."
                )
        raise NotStarted

    def _max_body(self, app: Quart) -> int:
        service = self._services.get(app)
        return config.Config().max_body_size if service is None else service.config.max_body_size

    # -- declaring -------------------------------------------------------------------------

    @overload
    def task(
        self, function: Callable[P, AsyncGenerator[R, Any] | AsyncIterator[R]], /
    ) -> TaskFunction[P, list[R], AsyncIterator[R]]: ...
    @overload
    def task(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def task(
        self, function: Callable[P, Generator[R, Any, Any] | Iterator[R]], /
    ) -> TaskFunction[P, list[R], Iterator[R]]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> TaskFunction[P, R, R]: ...
    @overload
    def task(
        self, /, *, name: str | None = None, executor: ExecutorName | None = None,
        timeout: float | None = None, retries: int | RetryPolicy = NO_RETRY,
        concurrency: int | None = None, priority: int = 0, idempotent: bool = False,
        public: bool = True, durable: bool = True,
    ) -> TaskDecorator: ...  # fmt: skip
    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function a task; called directly it stays itself.

        `name`: what it is submitted by, default the function's; `executor`: `"async"` (an
        `async def`'s default), `"thread"` (a `def`'s) or `"process"`; `timeout`: seconds an
        attempt may take; `retries`: a number or a RetryPolicy; `concurrency`: at most this
        many at once; `priority`: higher first; `idempotent`: may be run again after a crash;
        `public=False`: not to be submitted over HTTP; `durable=False`: not journaled.

        Raises InvalidDefinition for what cannot run in that executor.
        """
        if function is None:
            return lambda function: self._define(function, options)
        return self._define(function, options)

    def _define(self, function: Any, options: dict[str, Any]) -> TaskFunction[Any, Any, Any]:
        if isinstance(function, TaskFunction):
            function = function.definition.function
        definition = Definition(function, **options)
        self._catalog.add(definition)
        return TaskFunction(definition, self)

    @overload
    def background(self, view: V, /) -> V: ...
    @overload
    def background(
        self, /, *, prefer: bool = False, name: str | None = None,
        executor: ExecutorName | None = None, timeout: float | None = None,
        retries: int | RetryPolicy = NO_RETRY, concurrency: int | None = None, priority: int = 0,
        idempotent: bool = False, durable: bool = True,
    ) -> Callable[[V], V]: ...  # fmt: skip
    def background(self, view: Any = None, /, *, prefer: bool = False, **options: Any) -> Any:
        """Under a route: keep the request whole, answer 202 with `Location` and the record, and
        handle the request again inside a task, whose result is the response without `Set-Cookie`.

        Options as those of `task`; a sync view runs in a thread. With `prefer` the view runs in
        the foreground unless the client says `Prefer: respond-async` (RFC 7240), or `wait=N`: 202
        if it has not answered after N seconds.

        Raises InvalidDefinition for what streams its response.
        """

        def decorate(view: Any) -> Any:
            definition = background.define(view, self._service, options)
            self._catalog.add(definition)
            return background.decorate(
                background.Background(view, definition, self._service, prefer)
            )

        return decorate if view is None else decorate(view)

    def authorize(self, hook: AuthorizeHook) -> AuthorizeHook:
        """Ask `async (action, name, record) -> owner or None` about every request, stream and
        socket message; `abort(401)` in it refuses. `action` is one of submit, list, get,
        result, cancel, retry, delete, types, stats, health, events, socket.

        What it returns owns the new task; a caller with an owner sees and touches only its
        own, one with None everything.
        """
        if not inspect.iscoroutinefunction(hook):
            raise InvalidDefinition("An authorize hook must be an `async def`.")
        self._catalog.authorize = hook
        return hook

    @property
    def authorize_hook(self) -> AuthorizeHook | None:
        return self._catalog.authorize

    # -- submitting and asking -------------------------------------------------------------

    @overload
    async def submit(
        self, task: Submittable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    @overload
    async def submit(self, task: str, /, *args: Any, **kwargs: Any) -> TaskHandle[Any]: ...
    async def submit(
        self, task: Submittable[Any, Any] | str, /, *args: Any, **kwargs: Any
    ) -> TaskHandle[Any]:
        """Run a task, given by its function or its name. Raises UnknownTask,
        InvalidArguments, QueueFull, Draining, NotStarted."""
        if isinstance(task, str):
            definition = self._catalog.get(task)
            return await self.submit_call(definition, args, kwargs, NO_OPTIONS, None)
        if not isinstance(task, Submittable):
            raise TypeError(f"{task!r} is no task: decorate it with @tasks.task, or give its name.")
        return await task.submit(*args, **kwargs)

    async def submit_call(
        self, definition: Definition, args: Any, kwargs: Any, options: Options,
        retry: RetryPolicy | None,
    ) -> TaskHandle[Any]:  # fmt: skip
        """What `submit` of a function and of a name come to."""
        service = self._service()
        submission = service.prepare(definition, args, kwargs, options, retry)
        if service.registry.loading:
            await service.loaded()
        return TaskHandle.of(service, (await service.submit([submission]))[0])

    @overload
    async def submit_many(
        self, task: Submittable[Any, R], arguments: Iterable[Any], /
    ) -> builtins.list[TaskHandle[R]]: ...
    @overload
    async def submit_many(
        self, task: str, arguments: Iterable[Any], /
    ) -> builtins.list[TaskHandle[Any]]: ...
    async def submit_many(
        self, task: Submittable[Any, Any] | str, arguments: Iterable[Any], /
    ) -> builtins.list[TaskHandle[Any]]:
        """Run a task once for each list or tuple of arguments: all are accepted or, with an
        error, none."""
        service = self._service()
        if isinstance(task, str):
            definition, options, retry = self._catalog.get(task), NO_OPTIONS, None
        else:
            definition, options, retry = task.definition, task.options, task.retry_policy
        submissions = []
        for number, each in enumerate(arguments):
            if isinstance(each, (str, bytes)) or not isinstance(each, Iterable):
                raise InvalidArguments(
                    errors=[(f"#/tasks/{number}", f"{each!r} is no list or tuple of arguments")]
                )
            try:
                submissions.append(service.prepare(definition, tuple(each), {}, options, retry))
            except InvalidArguments as error:
                raise error.at(f"#/tasks/{number}") from None
        await service.loaded()
        return [TaskHandle.of(service, each) for each in await service.submit(submissions)]

    @overload
    def submit_sync(
        self, task: Submittable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    @overload
    def submit_sync(self, task: str, /, *args: Any, **kwargs: Any) -> TaskHandle[Any]: ...
    def submit_sync(
        self, task: Submittable[Any, Any] | str, /, *args: Any, **kwargs: Any
    ) -> TaskHandle[Any]:
        """`submit` for threads and sync views: blocks until the task is accepted.

        Raises RuntimeError on the event loop.
        """
        service = self._service()
        if service.on_loop():
            raise RuntimeError("submit_sync() would block the event loop: `await submit()` there.")
        # In the caller's context, for the parent and the app: a callback of the loop runs in
        # the context of whoever schedules it.
        future: Future[TaskHandle[Any]] = asyncio.run_coroutine_threadsafe(
            self.submit(task, *args, **kwargs), service.loop
        )
        return future.result()

    def get(self, id: str) -> TaskHandle[Any]:
        """Raises TaskNotFound."""
        service = self._service()
        return TaskHandle.of(service, service.registry.get(id))

    def list(
        self, *, state: State | None = None, name: str | None = None,
        parent_id: str | None = None, q: str | None = None, limit: int = 50,
        before: str | None = None,
    ) -> builtins.list[Record]:  # fmt: skip
        """Records, the newest first; the filters are those of `GET /tasks`."""
        if state is not None and state not in STATES:
            raise InvalidArguments(f"state is {state!r}; it must be one of {', '.join(STATES)}.")
        filter = Filter(state, name, parent_id, q)
        tasks, _ = self._service().registry.page(filter, limit, before)
        return [task.record.plain() for task in tasks]

    async def cancel(self, id: str) -> None:
        """Ask a task to end; returns once that is requested. Raises TaskNotFound."""
        service = self._service()
        await service.cancel(service.registry.get(id))

    def stats(self) -> dict[str, Any]:
        """What `GET /tasks/stats` answers."""
        return self._service().figures.stats()

    async def join(self, timeout: float | None = None) -> None:
        """Wait until all tasks have ended: for tests. Raises TimeoutError."""
        await self._service().join(timeout)

    @property
    def http(self) -> aiohttp.ClientSession:
        """One `aiohttp.ClientSession` for all tasks, closed when the app stops."""
        return self._service().http

    # -- the server's side of a shutdown ---------------------------------------------------

    async def close_streams(self, app: Quart) -> None:
        """Take no more tasks, say `bye` on every stream and close it. For a server to call
        before it closes connections."""
        if (service := self._services.get(app)) is not None:
            await service.shutdown.leave()

    async def drain(self, app: Quart) -> None:
        """End all tasks, within TASKS_DRAIN_TIMEOUT and a second: for a server to call while it
        still answers, so that clients are told 503 and may wait for tasks that are ending."""
        if (service := self._services.get(app)) is not None:
            await service.shutdown.run()

    def running(self, app: Quart) -> int:
        """How many tasks run."""
        service = self._services.get(app)
        return 0 if service is None else service.runner.running()

    def hurry(self, app: Quart) -> None:
        """Wait for no task any more: for a server that is told a second time to end."""
        if (service := self._services.get(app)) is not None:
            service.shutdown.hurry()
