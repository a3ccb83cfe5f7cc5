"""Everything that this package raises.

QuartTasksError
├── NotStarted           used before the app serves
├── InvalidConfig        a configuration key has a bad value
├── InvalidDefinition    a function cannot be made a task
├── UnknownTask          no definition has that name
├── InvalidArguments     arguments or options do not fit
├── QueueFull            too many tasks wait already
├── Draining             the app is shutting down
├── JournalUnavailable   the journal cannot be written
├── JournalRefused       the journal's file cannot be used, so the app does not start
├── TaskNotFound         no record has that id
├── Conflict             the task's state does not allow that
├── IllegalTransition    a state was left for one that does not follow it
├── InvalidResult        a result that JSON cannot carry, or too large a one
├── TaskCancelled        the awaited task was cancelled
└── TaskFailed           the awaited task failed
    ├── TaskTimeout      an attempt ran longer than `timeout`
    ├── TaskExpired      it had not started when `expires` was over
    ├── WorkerCrashed    the process that ran it died
    └── Interrupted      the server went away under it

The first line of a docstring is the default message.
"""

from __future__ import annotations


class QuartTasksError(Exception):
    """Something in quart_tasks went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


class NotStarted(QuartTasksError):
    """The app does not serve yet: start it, or use `async with app.test_app():` in tests."""


class InvalidConfig(QuartTasksError, ValueError):
    """A configuration key has a bad value."""


class InvalidDefinition(QuartTasksError, TypeError):
    """This function cannot be made a task."""


class UnknownTask(QuartTasksError):
    """No task definition has that name; GET /tasks/types lists them."""


class InvalidArguments(QuartTasksError, ValueError):
    """The arguments do not fit the task's signature.

    `errors` is a list of `(pointer, detail)`: a JSON pointer into the submission
    (RFC 6901, as a URI fragment: `#/kwargs/height`) and a sentence.
    """

    def __init__(
        self, message: str | None = None, errors: list[tuple[str, str]] | None = None
    ) -> None:
        self.errors = errors or []
        if message is None and self.errors:
            message = "; ".join(f"{pointer}: {detail}" for pointer, detail in self.errors)
        super().__init__(message)

    def at(self, place: str) -> InvalidArguments:
        """The same error, of arguments that stand at `place` in something larger."""
        found = self.errors or [("#", str(self))]
        return InvalidArguments(
            errors=[
                (each if each.startswith(place) else place + each.removeprefix("#"), detail)
                for each, detail in found
            ]
        )


class QueueFull(QuartTasksError):
    """Too many tasks wait already: submit again later.

    `retry_after` is how long that should be, in seconds.
    """

    def __init__(self, message: str | None = None, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Draining(QuartTasksError):
    """The server is shutting down and takes no new tasks: submit again in a moment."""


class JournalUnavailable(QuartTasksError):
    """The journal cannot be written, so nothing can be promised: submit again later."""


class JournalRefused(QuartTasksError):
    """The journal's file cannot be used."""


class TaskNotFound(QuartTasksError):
    """There is no task with that id, or its record is no longer kept."""


class Conflict(QuartTasksError):
    """The task's state does not allow that."""


class IllegalTransition(QuartTasksError):
    """A task cannot go from that state to this one."""


class InvalidResult(QuartTasksError):
    """The result cannot be kept: it is not JSON, or too large."""


class TaskCancelled(QuartTasksError):
    """The task was cancelled."""


class TaskFailed(QuartTasksError):
    """The task failed.

    `type`, `message` and `traceback` (text, or `None`) tell what the function raised;
    `__cause__` is the original exception where it was raised in this process.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        type: str | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(f"{type}: {message}" if type and message else message or type)
        self.type = type or self.__class__.__name__
        self.message = message or str(self)
        self.traceback = traceback


class TaskTimeout(TaskFailed):
    """The attempt ran longer than its timeout."""


class TaskExpired(TaskFailed):
    """The task had not started when its time to start was over."""


class WorkerCrashed(TaskFailed):
    """The process that ran the task died."""


class Interrupted(TaskFailed):
    """The server went away while the task was running."""


def failure(type: str, message: str, traceback: str | None = None) -> TaskFailed:
    """The exception for a record's `error`: one of the kinds of `TaskFailed`, by its type."""
    for kind in (TaskTimeout, TaskExpired, WorkerCrashed, Interrupted):
        if kind.__name__ == type:
            return kind(message, traceback=traceback)
    return TaskFailed(message, type=type, traceback=traceback)
