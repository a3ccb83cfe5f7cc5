"""Pools: where they are made, how large they are, and when nothing needs them any more."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from .local_names import own_statement
from .module import Module
from .plan import Plan
from .shared import shared
from .targets import unwrapped
from .variables import Variables, assigned_value

if TYPE_CHECKING:
    from .jobs import Jobs


Tidied = cst.CSTNode | cst.RemovalSentinel | cst.FlattenSentinel[cst.BaseStatement]


@dataclass(eq=False)
class Pool:
    """`made` is the call that makes it, `size` how many it runs at once, if it is there for all
    requests; `statement` what binds it to a name, `block` if that is a
    `with`; `users` the names by which others use it, `imports` where they have them from."""

    module: Module
    made: cst.CSTNode
    size: int | None = None
    statement: cst.CSTNode | None = None
    block: cst.With | None = None
    users: list[tuple[Module, cst.CSTNode]] = field(default_factory=list)
    imports: list[tuple[Module, str]] = field(default_factory=list)
    shutdowns: list[cst.CSTNode] = field(default_factory=list)


def find_pool(plan: Plan, module: Module, receiver: cst.BaseExpression) -> Pool:
    """The pool that `receiver` stands for, in `receiver.submit(…)`."""
    if isinstance(receiver, cst.Call):
        return Pool(module, receiver)
    variables = shared(plan, Variables)
    variable = variables.of(module, receiver)
    if variable is not None:
        bindings, users = variable.bindings(), variables.uses(variable)
        owner = variable.module
    else:
        owner, bindings, users = module, *_local(module, receiver)
    if len(bindings) != 1:
        return Pool(owner, receiver)
    made = assigned_value(owner, bindings[0])
    if not isinstance(made, cst.Call):
        return Pool(owner, receiver)
    size = _size(made) if variable is not None else None
    pool = Pool(owner, made, size, own_statement(owner, bindings[0]))
    if isinstance(pool.statement, cst.With):
        pool.block = pool.statement
    if variable is not None:
        pool.imports = variables.imports(variable)
    for where, user in users:
        line = _shutdown(where, user)
        if line is not None and where is owner:
            pool.shutdowns.append(line)
        else:
            pool.users.append((where, user))
    return pool


def why_not_unwrapped(module: Module, block: cst.With) -> str:
    """Why the wait at the end of `with ThreadPoolExecutor() as pool:` may matter, or ""."""
    if len(block.items) > 1:
        return "Give the pool a `with` of its own, and run this again."
    node: cst.CSTNode = block
    for parent in module.parents(block):
        if isinstance(parent, cst.IndentedBlock):
            lines: list[cst.CSTNode] = list(parent.body)
            below = lines[lines.index(node) + 1 :]
            if not all(m.matches(line, _RETURN) for line in below):
                return "What follows waits for the pool: await the tasks, or leave them to run on."
        if isinstance(parent, cst.FunctionDef):
            break
        if isinstance(parent, cst.For | cst.While):
            return "Each turn of the loop waits for its pool: await the tasks here yourself."
        node = parent
    return ""


def tidied(pool: Pool, jobs: "Jobs", new: Tidied) -> Tidied:
    """The edit of what makes a pool or shuts it down: both go when all its sites are tasks."""
    if isinstance(new, cst.RemovalSentinel | cst.FlattenSentinel) or not jobs.are_done(pool.users):
        return new
    if isinstance(new, cst.With):
        return unwrapped(new)
    return cst.RemoveFromParent()


def _local(
    module: Module, receiver: cst.BaseExpression
) -> tuple[list[cst.CSTNode], list[tuple[Module, cst.CSTNode]]]:
    function = module.function(receiver)
    if not isinstance(receiver, cst.Name) or function is None:
        return [], []
    bindings: list[cst.CSTNode] = []
    users: list[tuple[Module, cst.CSTNode]] = []
    for name in module.all(cst.Name):
        if name.value == receiver.value and function in module.parents(name):
            if isinstance(module.parent(name), cst.AssignTarget | cst.AsName):
                bindings.append(name)
            else:
                users.append((module, name))
    return bindings, users


def _shutdown(module: Module, user: cst.CSTNode) -> cst.CSTNode | None:
    """The statement `pool.shutdown(…)`, if `user` is the pool in one."""
    attribute = module.parent(user)
    if isinstance(attribute, cst.Attribute) and attribute.attr.value == "shutdown":
        call = module.parent(attribute)
        if call is not None and isinstance(module.parent(call), cst.Expr):
            return own_statement(module, call)
    return None


def _size(made: cst.Call) -> int | None:
    for index, arg in enumerate(made.args):
        if arg.keyword.value == "max_workers" if arg.keyword is not None else index == 0:
            return int(arg.value.value) if isinstance(arg.value, cst.Integer) else None
    return None


_RETURN = m.SimpleStatementLine(body=[m.Return()])
