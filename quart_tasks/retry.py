"""When a failed attempt is made again."""

from __future__ import annotations

import random
from dataclasses import dataclass

MOST = 1_000_000  # retries


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Answers "again in n seconds" or "no more" for a failed attempt.

    The pause before retry `n` (the first is 0) is drawn between 0 and
    `min(max_delay, delay * factor ** n)` seconds: exponential backoff with full jitter
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that tasks
    that failed together do not come back together. With `jitter=False` it is that bound.

    `retries`: how many attempts may follow the first; 0 to 1,000,000.
    `delay`, `max_delay`: seconds. `on`: exception classes that are worth another attempt;
    a timeout is a `TaskTimeout`, a cancel is never retried.

    Raises ValueError for a number out of range, TypeError for an `on` that holds no classes.
    """

    retries: int = 3
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 300.0
    jitter: bool = True
    on: tuple[type[BaseException], ...] = (Exception,)

    def __post_init__(self) -> None:
        if not isinstance(self.retries, int):
            raise TypeError(f"RetryPolicy: retries is {self.retries!r}, it must be a number.")
        if not 0 <= self.retries <= MOST:
            raise ValueError(
                f"RetryPolicy: retries is {self.retries}, it must be from 0 to {MOST:,}."
            )
        for name in ("delay", "factor", "max_delay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"RetryPolicy: {name} is {getattr(self, name)}, it must be 0 or more."
                )
        if isinstance(self.on, type):
            object.__setattr__(self, "on", (self.on,))
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in self.on):
            raise TypeError("RetryPolicy: `on` must be a tuple of exception classes.")

    @classmethod
    def of(cls, value: int | RetryPolicy) -> RetryPolicy:
        """`retries=3` means `RetryPolicy(3)`."""
        return value if isinstance(value, RetryPolicy) else cls(value)

    def covers(self, error: type[BaseException]) -> bool:
        """Whether an attempt that ended with this class of error is worth another."""
        return issubclass(error, self.on)

    def pause(self, n: int) -> float:
        """Seconds to wait before retry `n`, counted from 0."""
        try:
            bound = min(self.max_delay, self.delay * self.factor**n)
        except OverflowError:
            bound = self.max_delay
        return random.uniform(0, bound) if self.jitter else bound


NO_RETRY = RetryPolicy(0)
