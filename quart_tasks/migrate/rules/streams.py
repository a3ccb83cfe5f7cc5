"""`stream_with_context`."""

import libcst as cst

from ..module import Module
from ..rule import Rule

_WHY = (
    "Quart's `stream_with_context` wants an asynchronous generator function: make it one, "
    "see that it does not block, and write `stream_with_context(generate)()`."
)


class Streams(Rule):
    """A generator that keeps the request's context is left: in Quart it runs on the event loop.

    Before:

        return Response(stream_with_context(generate()))

    After:

        # TODO[quart-tasks]: Quart's `stream_with_context` wants an asynchronous generator …
        return Response(stream_with_context(generate()))

    A plain `Response(generate())` needs no change: Quart runs its generator in a thread.
    """

    code = "QT406"

    def look(self, module: Module) -> None:
        for node in [*module.all(cst.Name), *module.all(cst.Attribute)]:
            if self.origin(module, node) != "flask.stream_with_context":
                continue
            parent = module.parent(node)
            if isinstance(parent, cst.Call):
                if not self._is_asynchronous(module, parent):
                    self.leave(module, parent, _WHY)
            elif isinstance(parent, cst.Decorator):
                function = module.parent(parent)
                if isinstance(function, cst.FunctionDef) and function.asynchronous is None:
                    self.leave(module, function, _WHY)

    def _is_asynchronous(self, module: Module, call: cst.Call) -> bool:
        found = self.plan.origins.known.function(self.origin(module, call.args[0].value))
        return found is not None and found[1].asynchronous is not None
