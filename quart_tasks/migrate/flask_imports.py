"""What the rules of imports share."""

import libcst as cst
from libcst.helpers import get_full_name_for_node as full_name

from .module import Module


def dotted(node: cst.BaseExpression | None) -> str:
    """The name that an import writes: `flask.views`; "" for none."""
    return (full_name(node) or "") if node is not None else ""


def is_flask(name: str) -> bool:
    return name == "flask" or name.startswith("flask.")


def as_quart(name: str) -> str:
    """The module of Quart that stands for one of Flask's."""
    return "quart" + name.removeprefix("flask")


def as_node(name: str) -> cst.BaseExpression:
    return cst.parse_expression(name)


def is_import(module: Module, node: cst.CSTNode) -> bool:
    """Whether a name is part of an import itself."""
    around = module.parent(node)
    while isinstance(around, cst.Attribute):
        around = module.parent(around)
    return isinstance(around, cst.ImportAlias | cst.ImportFrom)
