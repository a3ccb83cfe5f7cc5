"""Calls that block, in functions that became async."""

import libcst as cst

from ..module import Module
from ..plan import Plan
from ..rule import Rule

_BLOCKING = (
    "time.sleep", "requests.", "urllib.request.", "urllib3.", "http.client.", "subprocess.",
    "smtplib.", "ftplib.", "paramiko.", "boto3.", "httpx.get", "httpx.post", "httpx.Client",
    "psycopg2.", "pymysql.", "redis.Redis", "pymongo.",
)  # fmt: skip


class Blocking(Rule):
    """A view that became async runs on the event loop; who blocks there is told, and left alone.

    Before:

        def weather():
            return requests.get(URL, params=request.form).json()

    After:

        async def weather():
            return requests.get(URL, params=await request.form).json()

    A person can write `await asyncio.to_thread(requests.get, …)`, or make it a task.
    """

    code = "QT408"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        # The blocking call in each sync function, "" for none.
        self._inside: dict[cst.FunctionDef, str] = {}

    def coloured(self, module: Module) -> None:
        for call in module.all(cst.Call):
            if module.function(call) not in self.plan.async_functions:
                continue
            if blocking := self._blocking(module, call):
                called = module.text(call.func)
                by = "" if blocking == called else f" by `{blocking}`"
                way = f"`await asyncio.to_thread({called}, …)` would not"
                self.note(module, call, f"`{called}` now holds up the whole server{by}; {way}.")

    def _blocking(self, module: Module, call: cst.Call) -> str:
        """The call that blocks: this one, or one in what it calls."""
        origin = self.origin(module, call.func)
        if origin.startswith(_BLOCKING) and "()" not in origin:
            return module.text(call.func)
        found = self.plan.origins.known.function(origin)
        if found is None or self.plan.is_async(found[1]) or self.is_claimed(call.func):
            return ""
        return self._blocking_inside(*found)

    def _blocking_inside(self, module: Module, function: cst.FunctionDef) -> str:
        if function not in self._inside:
            self._inside[function] = ""  # what calls itself
            calls = (call for call in module.all(cst.Call) if module.function(call) is function)
            found = filter(None, (self._blocking(module, call) for call in calls))
            self._inside[function] = next(found, "")
        return self._inside[function]
