"""Arguments that another process gets as JSON, and so as something else than they were."""

import re

import libcst as cst

from .module import Module
from .plan import Plan

_NO_JSON = re.compile(
    r"datetime\.(datetime|date|time|timedelta)(\.(now|utcnow|today|\w*from\w+))?\(\)"
    r"|decimal\.Decimal\(\)|uuid\.(UUID|uuid\d)\(\)|pathlib\.\w*Path\(\)"
    r"|builtins\.(set|frozenset|bytes|bytearray|complex)\(\)"
)


def why_no_json(
    plan: Plan, module: Module, args: list[cst.Arg], function: cst.FunctionDef
) -> str:  # fmt: skip
    """Why a task in a process would not be given what the function was, or ""."""
    params = [*function.params.posonly_params, *function.params.params]
    by_name = {param.name.value: param for param in [*params, *function.params.kwonly_params]}
    for index, arg in enumerate(args):
        if not _is_no_json(plan, module, arg.value):
            continue
        param = by_name.get(arg.keyword.value) if arg.keyword is not None else None
        if arg.keyword is None and not any(one.star for one in args[: index + 1]):
            param = params[index] if index < len(params) else None
        if param is None or param.annotation is None:
            return (
                f"`{module.text(arg.value)}` is no JSON, as which a process gets it: give its "
                f"parameter of `{function.name.value}` a type hint, or pass it as text."
            )
    return ""


def _is_no_json(plan: Plan, module: Module, value: cst.BaseExpression) -> bool:
    inner: list[cst.BaseExpression] = []
    match value:
        case cst.Set() | cst.SetComp():
            return True
        case cst.SimpleString(prefix=prefix):
            return "b" in prefix.lower()
        case (
            cst.Dict(elements=elements) | cst.List(elements=elements) | cst.Tuple(elements=elements)
        ):
            inner = [element.value for element in elements]
        case cst.Call(func=cst.Name("dict" | "list" | "tuple"), args=args):
            inner = [arg.value for arg in args]
    if any(_is_no_json(plan, module, each) for each in inner):
        return True
    return _NO_JSON.fullmatch(plan.origins.of(module, value)) is not None
