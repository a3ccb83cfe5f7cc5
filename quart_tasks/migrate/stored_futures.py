"""Futures that are kept in a dict at the top of a module, for a status route to look into."""

import re
from dataclasses import dataclass, field

import libcst as cst

from .jobs import Site
from .local_names import free_name, names_in, own_statement
from .module import Module
from .parts import Parts
from .plan import Plan
from .shared import shared
from .variables import Variable, Variables, is_empty_dict

Line = cst.SimpleStatementLine | cst.BaseCompoundStatement
Lines = Line | cst.FlattenSentinel[Line]
_UUID = r"(uuid\.)?uuid[14]\(\)"
_NEW_ID = re.compile(rf"{_UUID}(\.hex)?|str\({_UUID}\)|f[\"']\{{{_UUID}\}}[\"']")
OWN_ID = (
    "A task has an id of its own, and here another is needed: keep that one as the task's key, "
    "by `with_options(key=…)`, or answer with `task.id`."
)


@dataclass(eq=False)
class Store:
    """`futures[key] = pool.submit(…)`: the statement, its key, and the name that the future has
    before it is stored, if it has one."""

    site: Site
    statement: cst.CSTNode
    key: cst.BaseExpression
    future: cst.Name | None = None

    def has(self, node: cst.CSTNode) -> bool:
        return self.statement in self.site.module.parents(node)

    def id_line(self) -> cst.CSTNode | None:
        """The statement that makes the id, if the task's own can stand for it: nothing needs it
        before the task is there."""
        module, key = self.site.module, self.key
        if not isinstance(key, cst.Name):
            return None
        others = names_in(module, key)
        made = [node for node in others if isinstance(module.parent(node), cst.AssignTarget)]
        assign = module.parent(module.parent(made[0]) or key) if len(made) == 1 else None
        if not isinstance(assign, cst.Assign) or not _NEW_ID.fullmatch(module.text(assign.value)):
            return None
        end = module.order(self.statement)
        early = (node for node in others if node is not made[0])
        if any(module.order(node) < end or self.has(node) for node in early):
            return None
        return own_statement(module, assign)

    def enter(self, parts: Parts) -> None:
        """The task's id instead of the dict's key."""
        module, line = self.site.module, self.id_line()
        if line is not None:
            parts.remove(module, line)
            parts.edit(module, self.statement, self._with_id)
            parts.drops += [(module, name) for name in ("uuid", "uuid.uuid4", "uuid.uuid1")]

    def _with_id(self, new: cst.SimpleStatementLine) -> Lines:
        """`job_id = task.id`, below `task = await f.submit()` where the future has no name."""
        key = cst.ensure_type(self.key, cst.Name).value
        if self.future is not None:
            line = cst.parse_statement(f"{key} = {self.future.value}.id")
            return cst.ensure_type(line, cst.SimpleStatementLine).with_changes(
                leading_lines=new.leading_lines, trailing_whitespace=new.trailing_whitespace
            )
        name = free_name(self.site.module, self.site.node)
        assign = cst.ensure_type(new.body[0], cst.Assign)
        named = assign.with_changes(targets=[cst.AssignTarget(cst.Name(name))])
        line = cst.parse_statement(f"{key} = {name}.id")
        return cst.FlattenSentinel([new.with_changes(body=[named]), line])


@dataclass(eq=False)
class FutureDict:
    variable: Variable
    stores: list[Store] = field(default_factory=list)

    def why_not_stored(self) -> str:
        if len(self.variable.bindings()) > 1:
            return f"`{self.variable.name}` is made anew somewhere, which is left to you."
        return "" if all(store.id_line() is not None for store in self.stores) else OWN_ID


class StoredFutures:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.dicts: dict[Variable, FutureDict] = {}

    def keep(self, site: Site) -> bool:
        """Note a site whose future goes into such a dict; False if it does not."""
        module, call = site.module, site.node
        assign = module.parent(call)
        if not isinstance(assign, cst.Assign) or len(assign.targets) != 1:
            return False
        target = assign.targets[0].target
        if isinstance(target, cst.Name):
            return self._keep_named(site, target)
        return self._keep_in(site, assign, target, None)

    def _keep_named(self, site: Site, future: cst.Name) -> bool:
        """`future = pool.submit(…)`, and `futures[key] = future` as its only use."""
        uses = names_in(site.module, future)
        if len(uses) != 1:
            return False
        assign = site.module.parent(uses[0])
        if not isinstance(assign, cst.Assign) or assign.value is not uses[0]:
            return False
        return self._keep_in(site, assign, assign.targets[0].target, future)

    def _keep_in(
        self, site: Site, assign: cst.Assign, target: cst.BaseExpression, future: cst.Name | None
    ) -> bool:
        match target:
            case cst.Subscript(
                value=value, slice=[cst.SubscriptElement(slice=cst.Index(value=key))]
            ):
                variable = shared(self._plan, Variables).of(site.module, value)
                line = site.module.statement(assign)
                if variable is None or not is_empty_dict(variable.value()):
                    return False
                if own_statement(site.module, assign) is not line:
                    return False
                kept = self.dicts.setdefault(variable, FutureDict(variable))
                kept.stores.append(Store(site, line, key, future))
                return True
        return False


def why_kept(module: Module, call: cst.Call) -> str:
    """Why a future that is no task's handle is needed here, or "" if nothing is done with it."""
    parent = module.parent(call)
    if isinstance(parent, cst.Expr):
        return ""
    if isinstance(parent, cst.Assign) and isinstance(parent.targets[0].target, cst.Name):
        uses = names_in(module, parent.targets[0].target)
        if not uses:
            return ""
        attributes = [node for use in uses if isinstance(node := module.parent(use), cst.Attribute)]
        if len(attributes) == len(uses):
            return _why_used(attributes[0].attr.value)
    if isinstance(parent, cst.Attribute):
        return _why_used(parent.attr.value)
    return "This future is kept or handed on: submit a `@tasks.task`, and keep its handle or id."


def _why_used(attribute: str) -> str:
    if attribute == "result":
        return "The request waits for this: `await` the task if it must, else answer with its id."
    if attribute == "add_done_callback":
        return "A task has no callbacks: do it at the end of the function that is submitted."
    return f"`{attribute}` of a future is left to you: a task's handle has `state` and `done()`."
