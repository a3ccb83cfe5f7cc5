"""What only a client can meet; the rest is in `quart_tasks.exceptions`.

QuartTasksError
├── Unreachable   no server answers
└── Refused       a server answers, and will not do it
"""

from __future__ import annotations

from ..exceptions import QuartTasksError

TOO_LARGE = 413


class Unreachable(QuartTasksError, ConnectionError):
    """No server answers there, or it went away and did not come back."""


class Refused(QuartTasksError):
    """The server will not do that.

    `status` is that of its answer, such as 401 or 403.
    """

    def __init__(self, message: str | None = None, status: int = 0) -> None:
        self.status = status
        super().__init__(message)
