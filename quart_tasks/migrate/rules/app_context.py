"""`with app.app_context()` and its like, which are asynchronous in Quart."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

import libcst as cst

from ..definitions import is_tests
from ..module import Module
from ..plan import Plan
from ..rule import Rule

CONTEXTS = {
    "flask.Flask().app_context()",
    "flask.Flask().request_context()",
    "flask.Flask().test_request_context()",
    "flask.testing.FlaskClient()",
    "flask.testing.FlaskClient().session_transaction()",
}
_LEFT = (
    "Quart's contexts are entered with `async with`: as it stands this fails, and goes or changes "
    "together with what is left of the same."
)
_ADVICE = "What the app needs when it starts can be a function under `@app.before_serving`."


class AppContext(Rule):
    """Contexts of the app, of a request and of a test client are entered asynchronously.

    Before:

        def count():
            with app.app_context(), open("log") as log:
                return len(current_app.config)

    After:

        async def count():
            async with app.app_context():
                with open("log") as log:
                    return len(current_app.config)
    """

    code = "QT302"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._others: list[tuple[Module, cst.With]] = []

    def look(self, module: Module) -> None:
        for node in module.all(cst.With):
            if node.asynchronous is not None:
                continue
            origins = [self.origin(module, item.item) for item in node.items]
            if "flask.Response()" in origins:
                continue  # left by another rule: it is no context
            ours = [origin in CONTEXTS for origin in origins]
            if any(ours) and self.is_claimed(node):
                self._others.append((module, node))
            elif any(ours):
                text = module.text(node.items[ours.index(True)].item)
                change = self.change(module, node, f"`{text}` is entered with `async with`.")
                change.edit(node, partial(_entered, ours))
                change.needs_async(node)
                if not is_tests(module):
                    change.advice = _ADVICE

    def coloured(self, module: Module) -> None:
        """What another rule took care of stands here after all if its change is not made."""
        for where, node in self._others:
            if where is module and not self.is_claimed(node):
                self.leave(module, node, _LEFT)


def _entered(ours: Sequence[bool], node: cst.With) -> cst.With:
    """One `with` if all items are alike, else one in another, in their order."""
    if all(ours):
        return node.with_changes(asynchronous=cst.Asynchronous())
    groups = [
        (is_ours, [item for _, item in members])
        for is_ours, members in groupby(zip(ours, node.items, strict=True), lambda one: one[0])
    ]
    body = node.body
    for is_ours, items in reversed(groups):
        items[-1] = items[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        asynchronous = cst.Asynchronous() if is_ours else None
        made = cst.With(items, body, asynchronous=asynchronous)
        body = cst.IndentedBlock([made])
    return made.with_changes(leading_lines=node.leading_lines)
