"""Methods that override what is a coroutine in Quart."""

import libcst as cst

from ..module import Module
from ..quart_api import is_coroutine, is_property
from ..rule import Rule


class Overridden(Rule):
    """A method of a class of Flask's that is a coroutine in Quart becomes one where overridden.

    Before:

        class Sessions(SecureCookieSessionInterface):
            def open_session(self, app, request):
                return super().open_session(app, request)

    After:

        class Sessions(SecureCookieSessionInterface):
            async def open_session(self, app, request):
                return await super().open_session(app, request)
    """

    code = "QT304"

    def look(self, module: Module) -> None:
        for function in module.all(cst.FunctionDef):
            owner = module.place(function)
            if not isinstance(owner, cst.ClassDef) or function.asynchronous is not None:
                continue
            name = function.name.value
            for base in self.plan.origins.classes.bases(module, owner):
                method = f"{base}.{name}"
                # A class-based view may have sync methods: they run in a thread.
                if base.startswith("flask.views.") or not base.startswith("flask."):
                    continue
                if is_coroutine(method) and not is_property(method):
                    text = f"`{name}` overrides a coroutine of Quart."
                    self.change(module, function, text).needs_async(function.body)
                    break
