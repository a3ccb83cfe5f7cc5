"""How a status route looks into a dict of futures, and how it looks for a task instead."""

from collections.abc import Callable
from functools import partial

import libcst as cst
import libcst.matchers as m

from .future_uses import FutureUses
from .local_names import free_name, names_in, own_statement
from .module import Module
from .parts import Parts
from .plan import Plan
from .shared import shared
from .stored_futures import FutureDict
from .task_home import TaskHome
from .variables import Variables

_LEAVING = m.OneOf(m.Return(), m.Raise(), m.Expr(m.Call(func=m.Name("abort"))))
LEAVES = m.SimpleStatementLine(body=[m.ZeroOrMore(), _LEAVING])
NOT_FOUND = "TaskNotFound"
Key = Callable[[cst.If], cst.BaseExpression]  # finds the task's id in the rewritten `if`


class Lookups:
    """All uses of one dict but its stores. `find()` says why they cannot be changed, or ""."""

    def __init__(self, plan: Plan, kept: FutureDict) -> None:
        self._plan = plan
        self._name = kept.variable.name
        self._parts = Parts()
        self._uses = FutureUses(plan, self._parts)
        self._spots = [
            (module, node)
            for module, node in shared(plan, Variables).uses(kept.variable)
            if not any(store.has(node) for store in kept.stores)
        ]
        # The name that stands for the future in a function that tests for its key.
        self._named: dict[cst.FunctionDef, str] = {}

    def enter(self, parts: Parts) -> None:
        for name, found in vars(self._parts).items():
            getattr(parts, name).extend(found)

    def find(self) -> str:
        tests = [spot for spot in self._spots if _is_tested(*spot)]
        others = [spot for spot in self._spots if not _is_tested(*spot)]
        # Tests come first: they name the future for what follows.
        whys = [self._test(*spot) for spot in tests] + [self._read(*spot) for spot in others]
        return next(filter(None, whys), "")

    # -- `if job_id not in jobs:` -------------------------------------------------------------

    def _test(self, module: Module, node: cst.CSTNode) -> str:
        comparison = module.parent(module.parent(node) or node)
        block = module.parent(comparison) if comparison is not None else None
        function = module.function(node)
        if (
            not isinstance(comparison, cst.Comparison)
            or not isinstance(comparison.comparisons[0].operator, cst.NotIn)
            or not (isinstance(block, cst.If) and block.test is comparison)
            or not _leaves(block)
            or function is None
        ):
            return f"`{self._name}` is asked for a key here in a way that is left to you."
        name = _given_name(_below(module, block)) or free_name(module, node)
        self._named[function] = name
        self._look_up(
            module, block, name, lambda new: cst.ensure_type(new.test, cst.Comparison).left
        )
        return ""

    def _look_up(self, module: Module, block: cst.If, name: str, key: Key) -> None:
        """Make the `if` that refuses what is unknown a `try` around the look-up."""
        self._parts.homes.append((module, block))
        self._parts.imports.append((module, f"quart_tasks.{NOT_FOUND}"))
        self._parts.edit(module, block, partial(self._tried, name, key))

    def _tried(self, name: str, key: Key, new: cst.If) -> cst.Try:
        line = cst.parse_statement(f"{name} = {self._home()}.get()")
        look_up = cst.ensure_type(line, cst.SimpleStatementLine)
        call = cst.ensure_type(cst.ensure_type(look_up.body[0], cst.Assign).value, cst.Call)
        look_up = look_up.with_deep_changes(call, args=[cst.Arg(key(new))])
        handler = cst.ExceptHandler(new.body, cst.Name(NOT_FOUND))
        return cst.Try(
            cst.IndentedBlock([look_up]), [handler], leading_lines=new.leading_lines
        )  # fmt: skip

    # -- `jobs.get(job_id)`, `jobs[job_id]`, `del jobs[job_id]` --------------------------------

    def _read(self, module: Module, node: cst.CSTNode) -> str:
        parent = module.parent(node)
        above = module.parent(parent) if parent is not None else None
        if isinstance(parent, cst.Subscript) and parent.value is node:
            if isinstance(above, cst.Del):
                self._parts.remove(module, own_statement(module, node))
                return ""
            if not isinstance(above, cst.AssignTarget):
                return self._indexed(module, parent)
        if isinstance(parent, cst.Attribute) and isinstance(above, cst.Call):
            if parent.attr.value == "get" and _asks_for_none(above):
                return self._got(module, above)
            if parent.attr.value == "pop" and isinstance(module.parent(above), cst.Expr):
                self._parts.remove(module, own_statement(module, node))
                return ""
        return f"`{self._name}` is used for more than finding futures, which is left to you."

    def _indexed(self, module: Module, node: cst.Subscript) -> str:
        function = module.function(node)
        named = self._named.get(function) if function is not None else None
        target = _assigned(module, node)
        if target is not None and target.value == named:
            self._parts.remove(module, own_statement(module, node))
            return self._uses.of_name(module, target)
        if named is not None:
            self._parts.edit(module, node, lambda new: cst.Name(named))
        else:
            self._parts.homes.append((module, node))
            self._parts.edit(module, node, self._found)
        if target is not None:
            return self._uses.of_name(module, target)
        return self._uses.of(module, node)

    def _found(self, new: cst.Subscript) -> cst.Call:
        index = cst.ensure_type(new.slice[0].slice, cst.Index)
        get = cst.Attribute(cst.Name(self._home()), cst.Name("get"))
        return cst.Call(get, [cst.Arg(index.value)])

    def _got(self, module: Module, call: cst.Call) -> str:
        """`future = jobs.get(job_id)`, and below it the `if` for there being none."""
        target = _assigned(module, call)
        line = module.statement(call)
        block = _below(module, line)
        is_alone = own_statement(module, call) is line
        if target is None or not is_alone or not (isinstance(block, cst.If) and _leaves(block)):
            return f"What `{self._name}` does not have is used here in a way that is left to you."
        missing = m.OneOf(
            m.UnaryOperation(m.Not(), m.Name(target.value)),
            m.Comparison(m.Name(target.value), [m.ComparisonTarget(m.Is(), m.Name("None"))]),
        )
        if not m.matches(block.test, missing):
            return f"What `{self._name}` does not have is used here in a way that is left to you."
        found: list[cst.BaseExpression] = []

        def keep(new: cst.Call) -> cst.Call:
            found.append(new.args[0].value)
            return new

        self._parts.edit(module, call, keep)
        self._parts.remove(module, line)
        self._look_up(module, block, target.value, lambda new: found[0])
        tested = [name for name in names_in(module, target) if block.test in module.parents(name)]
        return self._uses.of_name(module, target, tested)

    def _home(self) -> str:
        return shared(self._plan, TaskHome).name()


def _is_tested(module: Module, node: cst.CSTNode) -> bool:
    return isinstance(module.parent(node), cst.ComparisonTarget)


def _leaves(block: cst.If) -> bool:
    """Whether what is below an `if` runs only if its test was false."""
    body = block.body
    lines = body.body
    return (
        block.orelse is None and isinstance(body, cst.IndentedBlock)
        and m.matches(lines[-1], LEAVES)
    )  # fmt: skip


def _below(module: Module, statement: cst.CSTNode) -> cst.CSTNode | None:
    """The next statement in the same block."""
    block = module.parent(statement)
    if not isinstance(block, cst.IndentedBlock):
        return None
    lines: list[cst.CSTNode] = list(block.body)
    index = lines.index(statement) + 1
    return lines[index] if index < len(lines) else None


def _given_name(statement: cst.CSTNode | None) -> str:
    """`future`, of `future = jobs[job_id]`."""
    match statement:
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(name))],
                             value=cst.Subscript())]
        ):  # fmt: skip
            return name
    return ""


def _assigned(module: Module, node: cst.CSTNode) -> cst.Name | None:
    match module.parent(node):
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name() as name)]):
            return name
    return None


def _asks_for_none(call: cst.Call) -> bool:
    """Whether `get` has no default but None."""
    return len(call.args) == 1 or (
        len(call.args) == 2 and m.matches(call.args[1].value, m.Name("None"))
    )
