"""`quart-tasks serve` and `demo`: an app on Hypercorn, in this process."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import signal
import sys
import threading
import time
from importlib import import_module
from itertools import count
from typing import Any

import click
from flask.logging import default_handler  # Quart's loggers are made by Flask's code
from hypercorn.utils import LifespanFailureError
from quart import Quart

from ..exceptions import InvalidConfig, JournalRefused, QuartTasksError
from ..server import serve
from .errors import Refused

# How long threads that the interpreter's own end waits for may take.
LEAVE_SECONDS = 2.0
# And how long what was cancelled at the very end may take.
LEFT_SECONDS = 0.2


def run(name: str, host: str, port: int) -> None:
    """Serve the app `MODULE:APP` until a signal ends it."""
    try:
        app = load_app(name)
    except InvalidConfig as error:  # where the module makes its QuartTasks
        raise Refused(str(error)) from None
    _log_to_stderr(app)

    def greet(url: str) -> None:
        gc.enable()  # the command had it off while it imported
        click.echo(_greeting(app, name, url))

    def wait(tasks: int, seconds: float) -> None:
        click.echo(
            f"Waiting up to {seconds:g} s for running tasks ({tasks}); press Ctrl-C again not to.",
            err=True,
        )

    async def live() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # What `serve` puts back when all is over: one more signal changes nothing then.
            signal.signal(number, signal.SIG_IGN)
        try:
            await serve(app, host, port, on_listening=greet, on_draining=wait)
        finally:
            _leave_soon()
        await _leave_behind()

    try:
        asyncio.run(live())
    except LifespanFailureError as error:
        if (extension := app.extensions.get("QUART_TASKS")) and extension.refused:
            raise Refused(str(extension.refused)) from None
        raise click.ClickException(f"{error}. The traceback is above.") from None
    except QuartTasksError as error:
        raise Refused(str(error)) from None


def _greeting(app: Quart, name: str, url: str) -> str:
    tasks = "no QuartTasks on this app"
    if "QUART_TASKS" in app.extensions:
        blueprint = app.blueprints.get("quart_tasks")
        tasks = "tasks without HTTP" if blueprint is None else f"tasks: {url}{blueprint.url_prefix}"
    return f"Serving {name} on {url} ({tasks}); press Ctrl-C to stop."


def load_app(name: str) -> Quart:
    """The app that `MODULE:APP` names; APP may be a function that takes nothing and makes it.

    Raises Refused, or whatever the module itself raises.
    """
    module_name, _, attribute = name.partition(":")
    called = attribute.endswith("()")
    attribute = attribute.removesuffix("()")
    if not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise Refused(f"{name!r} is not MODULE:APP: name the app as in `shop:app`.")
    found = getattr(_import(module_name), attribute, None)
    if found is None:
        raise Refused(f"The module {module_name!r} has no {attribute!r}: name its Quart app.")
    if called or inspect.isfunction(found):
        found = _call(name, found)
    if not isinstance(found, Quart):
        raise Refused(f"{name!r} is not a Quart app but of type {type(found).__name__!r}.")
    return found


def _import(name: str) -> Any:
    # Not for the demo: its workers would take the package from a clone they are started in.
    if not name.startswith("quart_tasks.") and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        # Only what was asked for: a module that it imports in its turn is the app's own error.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise Refused(
            f"There is no module {error.name!r}: it was looked for in {os.getcwd()} and on "
            f"Python's path."
        ) from None


def _call(name: str, factory: Any) -> Any:
    try:
        inspect.signature(factory).bind()
    except (TypeError, ValueError):
        raise Refused(f"{name!r} cannot be called without arguments, so it makes no app.") from None
    return factory()


def _log_to_stderr(app: Quart) -> None:
    """Show warnings and errors, unless the app's module has set up logging itself."""
    app.logger.addFilter(_is_no_refusal)
    if logging.root.handlers:
        return
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A logger that the module used already got a handler of its own, and would say all twice.
    app.logger.removeHandler(default_handler)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """A refused journal is told in a sentence at the end, without Quart's traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], JournalRefused))


async def _leave_behind() -> None:
    """End the process if a coroutine goes on though it is cancelled: asyncio would wait for it."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=LEFT_SECONDS)
    if left:
        click.echo("What was cancelled goes on; leaving without it.", err=True)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _leave_soon() -> None:
    """End the process even if a thread does not end, or a coroutine that `_leave_behind` has not
    seen: Python would wait for it.

    A sync view that blocks holds such a thread, and nothing can stop it.
    """
    loop, main = asyncio.get_running_loop(), threading.main_thread()

    def leave() -> None:
        for turn in count():
            time.sleep(LEAVE_SECONDS)
            if any(not thread.daemon for thread in threading.enumerate() if thread is not main):
                why = "A thread is still busy, perhaps in a sync view"
                break
            if turn > 1 and not loop.is_closed():  # at first the machine may only be slow
                why = "What was cancelled goes on"
                break
        click.echo(f"{why}; leaving without it.", err=True)
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
