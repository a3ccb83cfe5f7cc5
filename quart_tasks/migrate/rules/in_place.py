"""What is changed in place, and must be awaited to be read."""

import libcst as cst

from ..module import Module
from ..quart_api import is_coroutine, is_property
from ..rule import Rule

_SIMPLE = (cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.SimpleString)


class InPlace(Rule):
    """An augmented assignment to what is awaited becomes an assignment.

    Before:

        response.data += b"\\n"

    After:

        response.data = await response.data + b"\\n"
    """

    code = "QT306"

    def look(self, module: Module) -> None:
        for assign in module.all(cst.AugAssign):
            name = self.origin(module, assign.target).replace("()", "")
            if name.startswith("flask.") and is_property(name) and is_coroutine(name):
                text = f"`{module.text(assign.target)}` is awaited and assigned."
                change = self.change(module, assign, text)
                change.needs_async(assign)
                change.edit(assign, _assigned)


def _assigned(new: cst.AugAssign) -> cst.Assign:
    name = type(new.operator).__name__.removesuffix("Assign")
    operator: cst.BaseBinaryOp = getattr(cst, name)()
    value = new.value
    if not isinstance(value, _SIMPLE) and not value.lpar:
        value = value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    target = cst.ensure_type(new.target, cst.Attribute)
    whole = cst.BinaryOperation(cst.Await(target), operator, value)
    return cst.Assign([cst.AssignTarget(target)], whole, semicolon=new.semicolon)
