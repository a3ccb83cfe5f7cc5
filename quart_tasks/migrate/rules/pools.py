"""Way one: `pool.submit(f, …)` in a route."""

import re
from functools import partial
from typing import Literal

import libcst as cst

from ..jobs import Jobs, Site, Started
from ..module import Module
from ..pool_uses import Pool, find_pool, tidied, why_not_unwrapped
from ..rule import Rule
from ..shared import shared
from ..stored_futures import StoredFutures, why_kept

_POOLS = re.compile(r"concurrent\.futures\.(?:\w+\.)?(Thread|Process)PoolExecutor\(\)\.(\w+)")
_FUTURES = "concurrent.futures.{kind}PoolExecutor"


class Pools(Rule):
    """A function that a route gives to a pool becomes a task.

    Before:

        executor = ThreadPoolExecutor(max_workers=2)

        def send_mail(to): ...

        @app.post("/mails/<to>")
        def create_mail(to):
            executor.submit(send_mail, to)
            return "", 202

    After:

        @tasks.task(executor="thread", concurrency=2, public=False)
        def send_mail(to): ...

        @app.post("/mails/<to>")
        async def create_mail(to):
            await send_mail.submit(to)
            return "", 202

    A `ProcessPoolExecutor` gives `executor="process"`. The pool goes when nothing uses it any
    more. Left: a future that the route waits for or hands on, `map`, functions that are not at
    the top of a module, locks and files as arguments.
    """

    code = "QT102"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            found = _POOLS.fullmatch(self.origin(module, call.func))
            if found is None or self.is_claimed(call):
                continue
            executor: Literal["thread", "process"] = "process"
            if found[1] == "Thread":
                executor = "thread"
            if found[2] == "submit" and call.args and isinstance(call.func, cst.Attribute):
                self._submitted(module, call, call.func.value, executor)
            elif found[2] == "map" and shared(self.plan, Jobs).counts(module, call):
                self.leave(module, call, MAP)

    def _submitted(
        self, module: Module, call: cst.Call, receiver: cst.BaseExpression,
        executor: Literal["thread", "process"],
    ) -> None:  # fmt: skip
        pool = find_pool(self.plan, module, receiver)
        site = Site(self.code, module, call, call, started, executor)
        site.pool, site.concurrency = pool.made, pool.size
        site.parts.drops = [(pool.module, _FUTURES.format(kind=executor.capitalize()))]
        stored = shared(self.plan, StoredFutures)
        if not stored.keep(site):
            site.why = why_kept(module, call) or self._why_not_unwrapped(pool)
        shared(self.plan, Jobs).add(site)
        self._remove(pool, site)

    def _why_not_unwrapped(self, pool: Pool) -> str:
        return why_not_unwrapped(pool.module, pool.block) if pool.block is not None else ""

    def _remove(self, pool: Pool, site: Site) -> None:
        """Take the pool away, if this was the last that used it."""
        if pool.statement is None:
            return
        site.parts.drops += pool.imports
        rewrite = partial(tidied, pool, shared(self.plan, Jobs))
        for line in (pool.statement, *pool.shutdowns):
            site.parts.edit(pool.module, line, rewrite)


def started(call: cst.Call) -> Started:
    """What `pool.submit(f, 1)` starts."""
    return Started(call.args[0].value, list(call.args[1:]))


MAP = (
    "The request waits for all of these: `async for` over `map` of a `@tasks.task` does too, "
    "or submit one task that does it all."
)
