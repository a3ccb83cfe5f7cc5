"""Calls in tests of what became async, where the test cannot await."""

import libcst as cst

from ..definitions import is_tests
from ..module import Module
from ..rule import Rule


class NotAwaited(Rule):
    """A test that cannot become async is left, and holds up nothing that it calls.

    Before:

        @retried                      # from elsewhere, and may not await the test
        def test_load():
            assert load() == {}

    After:

        @retried
        def test_load():
            # TODO[quart-tasks]: `load` is a coroutine function: await this call.
            assert load() == {}
    """

    code = "QT309"

    def coloured(self, module: Module) -> None:
        if not is_tests(module):
            return
        for call in module.all(cst.Call):
            found = self.plan.origins.known.function(self.origin(module, call.func))
            if found is None or not self.plan.is_async(found[1]) or self.is_claimed(call.func):
                continue
            name = found[1].name.value
            if self._is_left(module, call):
                self.leave(module, call, f"`{name}` is a coroutine function: await this call.")

    def _is_left(self, module: Module, call: cst.Call) -> bool:
        """Whether nobody awaits the call, now or after the migration."""
        place = module.place(call)
        if isinstance(place, cst.FunctionDef) and self.plan.is_async(place):
            return False
        # `asyncio.run(load())`, and what else takes a coroutine.
        return not isinstance(module.parent(call), cst.Await | cst.Arg | cst.Return | cst.Lambda)
