"""Small rewrites that several rules make."""

import libcst as cst

from .change import Rewrite


def renamed(name: str) -> Rewrite:
    """Another name in the place of a name."""
    return lambda node: node.with_changes(value=name)


def made_async(node: cst.FunctionDef | cst.With) -> cst.FunctionDef | cst.With:
    return node.with_changes(asynchronous=cst.Asynchronous())


def keyword(call: cst.Call, name: str) -> cst.Arg | None:
    """The argument of a call that is given as `name=…`."""
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value == name:
            return arg
    return None


def argument(name: str, value: cst.BaseExpression) -> cst.Arg:
    """`name=value`, without spaces around the sign."""
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(value, keyword=cst.Name(name), equal=tight)


def with_arguments(call: cst.Call, args: list[cst.Arg]) -> cst.Call:
    """The call with other arguments; what followed the last one, a line break perhaps, stays."""
    if not args:
        return call.with_changes(args=[])
    *most, end = args
    spaced = [arg if isinstance(arg.comma, cst.Comma) else _with_comma(arg) for arg in most]
    if not call.args:
        return call.with_changes(args=[*spaced, end])
    last = call.args[-1]
    end = end.with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    return call.with_changes(args=[*spaced, end])


def _with_comma(arg: cst.Arg) -> cst.Arg:
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    return arg.with_changes(comma=comma, whitespace_after_arg=cst.SimpleWhitespace(""))
