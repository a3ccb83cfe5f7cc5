"""Whether a function can become a task, and the edits that make it one."""

import libcst as cst
import libcst.matchers as m

from .change import Rewrite
from .module import Module
from .plan import Plan

APP_CONTEXT = "flask.Flask().app_context()"
Unwrapped = cst.CSTNode | cst.FlattenSentinel[cst.BaseStatement]
_NEEDS_REQUEST = ("flask.Flask().request_context", "flask.Flask().test_request_context")


def why_no_task(
    plan: Plan, module: Module, function: cst.FunctionDef, besides: cst.Decorator | None = None
) -> str:
    """A sentence, or "" for a function that can be one; `besides` this decorator, which goes."""
    name = function.name.value
    place = module.place(function)
    if isinstance(place, cst.ClassDef):
        return f"`{name}` is a method: make it a function at the top of a module."
    if not isinstance(place, cst.Module):
        return f"`{name}` is made inside a function: make it one at the top of the module."
    if any(one is not besides for one in function.decorators):
        return f"`{name}` has decorators: decorate it with `@tasks.task` yourself if they allow it."
    inside = _inside(module, function)
    if any(isinstance(node, cst.Yield) for node in inside):
        return f"`{name}` is a generator, which nothing would run."
    if any(map(_never_ends, inside)):
        return f"`{name}` runs for ever: start it in `@app.before_serving`, not in a request."
    for node in inside:
        if isinstance(node, cst.Call) and plan.origins.of(module, node.func) in _NEEDS_REQUEST:
            return f"`{name}` makes a request's context: let `@tasks.background` run the view."
    return ""


def contexts(
    plan: Plan, module: Module, function: cst.FunctionDef, apps: set[str]
) -> list[cst.With]:
    """The `with app.app_context():` inside a function; `apps` are parameters that hold the app."""
    return [
        node
        for node in _inside(module, function)
        if isinstance(node, cst.With)
        and any(_enters_app(plan, module, item.item, apps) for item in node.items)
    ]


def without_context(plan: Plan, module: Module, node: cst.With, apps: set[str]) -> Rewrite:
    """The edit that takes the app's context away: a task has one."""
    kept = [
        index
        for index, item in enumerate(node.items)
        if not _enters_app(plan, module, item.item, apps)
    ]

    def rewrite(new: cst.CSTNode) -> Unwrapped:
        if not isinstance(new, cst.With):  # another change has been here
            return new
        if not kept:
            return unwrapped(new)
        items = [new.items[index] for index in kept]
        items[-1] = items[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return new.with_changes(items=items)

    return rewrite


def unwrapped(block: cst.With) -> cst.FlattenSentinel[cst.BaseStatement]:
    """The statements of a `with`, without it; its comments stay above them."""
    body = block.body
    above = list(block.leading_lines)
    if isinstance(body, cst.IndentedBlock):
        above += body.footer
        if body.header.comment is not None:
            above.append(cst.EmptyLine(comment=body.header.comment))
        first, *others = body.body
    else:
        suite = cst.ensure_type(body, cst.SimpleStatementSuite)
        first, others = cst.SimpleStatementLine(suite.body), []
    comments = [*above, *first.leading_lines]  # type: ignore[attr-defined]
    return cst.FlattenSentinel([first.with_changes(leading_lines=comments), *others])


def _enters_app(plan: Plan, module: Module, item: cst.BaseExpression, apps: set[str]) -> bool:
    if plan.origins.of(module, item) == APP_CONTEXT:
        return True
    return any(
        m.matches(item, m.Call(func=m.Attribute(value=m.Name(app), attr=m.Name("app_context"))))
        for app in apps
    )


def _inside(module: Module, function: cst.FunctionDef) -> list[cst.CSTNode]:
    kinds = (cst.With, cst.Yield, cst.While, cst.Call)
    return [
        node for kind in kinds for node in module.all(kind) if module.function(node) is function
    ]


def _never_ends(node: cst.CSTNode) -> bool:
    """`while True:` without a way out."""
    return (
        m.matches(node, m.While(test=m.OneOf(m.Name("True"), m.Integer("1"))))
        and not m.findall(node, m.Break() | m.Return())
    )  # fmt: skip
