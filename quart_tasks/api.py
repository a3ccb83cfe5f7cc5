"""The public names and nothing else."""

from .context import TaskContext, current_task, progress, track
from .encoding import Blob
from .events import TaskEvent
from .exceptions import (
    Conflict,
    Draining,
    IllegalTransition,
    Interrupted,
    InvalidArguments,
    InvalidConfig,
    InvalidDefinition,
    InvalidResult,
    JournalRefused,
    JournalUnavailable,
    NotStarted,
    QuartTasksError,
    QueueFull,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskNotFound,
    TaskTimeout,
    UnknownTask,
    WorkerCrashed,
)
from .extension import QuartTasks
from .fallback import FlaskFallback
from .handle import TaskHandle
from .record import Error, Progress, Record
from .retry import RetryPolicy

__all__ = [
    "Blob",
    "Conflict",
    "Draining",
    "Error",
    "FlaskFallback",
    "IllegalTransition",
    "Interrupted",
    "InvalidArguments",
    "InvalidConfig",
    "InvalidDefinition",
    "InvalidResult",
    "JournalRefused",
    "JournalUnavailable",
    "NotStarted",
    "Progress",
    "QuartTasks",
    "QuartTasksError",
    "QueueFull",
    "Record",
    "RetryPolicy",
    "TaskCancelled",
    "TaskContext",
    "TaskEvent",
    "TaskExpired",
    "TaskFailed",
    "TaskHandle",
    "TaskNotFound",
    "TaskTimeout",
    "UnknownTask",
    "WorkerCrashed",
    "current_task",
    "progress",
    "track",
]
