"""Frames are sent in turns, so that a burst to many readers does not hold the loop."""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 50  # frames in one turn of the loop, to whichever readers: less than a millisecond


class Turns:
    def __init__(self) -> None:
        self._left = AT_ONCE
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait until one more frame may be sent: for no time at all while few are."""
        if self._left == AT_ONCE:
            asyncio.get_running_loop().call_soon(self._refill)
        self._left -= 1
        if self._left < 0:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def _refill(self) -> None:
        """The next turn: of those that wait the first go on, each with one frame."""
        granted = 0
        while self._waiting and granted < AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():  # its reader may be gone
                turn.set_result(None)
                granted += 1
        self._left = AT_ONCE - granted
        if granted:
            asyncio.get_running_loop().call_soon(self._refill)
