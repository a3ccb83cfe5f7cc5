"""Names and statements inside a function."""

import libcst as cst

from .module import Module


def free_name(module: Module, node: cst.CSTNode) -> str:
    """A name for a task's handle that the function around `node` does not use yet."""
    function = module.function(node)
    taken = {name.value for name in module.all(cst.Name) if is_inside(module, name, function)}
    return next(name for name in ("task", "handle", "submitted", "_task") if name not in taken)


def names_in(
    module: Module, name: cst.Name, function: cst.FunctionDef | None = None
) -> list[cst.Name]:
    """The other places in its function where a local name stands; of a parameter it is given."""
    function = function or module.function(name)
    return [
        node
        for node in module.all(cst.Name)
        if node.value == name.value and node is not name and is_inside(module, node, function)
        and not is_label(module, node)
    ]  # fmt: skip


def is_inside(module: Module, node: cst.CSTNode, function: cst.FunctionDef | None) -> bool:
    """Whether it is in the parameters or the body of a function, not in its decorators."""
    if function is None:
        return False
    return any(
        parent is function.body or parent is function.params for parent in module.parents(node)
    )


def is_label(module: Module, node: cst.Name) -> bool:
    """Whether it is the `b` of `a.b` or of `f(b=1)`, which is no variable."""
    match module.parent(node):
        case cst.Attribute(attr=attr):
            return attr is node
        case cst.Arg(keyword=keyword):
            return keyword is node
    return False


def own_statement(module: Module, node: cst.CSTNode) -> cst.CSTNode:
    """The statement of `node` and nothing else: in `a(); b()` the one of the two."""
    line = module.statement(node)
    if isinstance(line, cst.SimpleStatementLine) and len(line.body) > 1:
        return next(small for small in line.body if small is node or small in module.parents(node))
    return line
