"""Arguments that stand in containers, as in `Thread(args=(1, 2))` and `apply_async(kwargs={…})`."""

from collections.abc import Sequence

import libcst as cst

from .edits import argument


def by_name(call: cst.Call, *names: str) -> dict[str, cst.BaseExpression]:
    """A call's arguments by name; `names` are those of the positional ones."""
    given = {}
    for index, arg in enumerate(call.args):
        if arg.keyword is not None:
            given[arg.keyword.value] = arg.value
        elif not arg.star and index < len(names):
            given[names[index]] = arg.value
        else:
            given[f"*{index}"] = arg.value
    return given


def spread_all(given: dict[str, cst.BaseExpression]) -> list[cst.Arg]:
    """The arguments of `args=` and `kwargs=`."""
    args = spread(given["args"]) if "args" in given else []
    return args + (spread_names(given["kwargs"]) if "kwargs" in given else [])


def spread(value: cst.BaseExpression) -> list[cst.Arg]:
    """Positional arguments from what `args=` is given: `(1, 2)`, or `*numbers`."""
    if isinstance(value, cst.Tuple | cst.List):
        return [
            cst.Arg(element.value, star="*" if isinstance(element, cst.StarredElement) else "")
            for element in value.elements
        ]
    return [] if _is_none(value) else [cst.Arg(value, star="*")]


def spread_names(value: cst.BaseExpression) -> list[cst.Arg]:
    """Named arguments from what `kwargs=` is given: `{"n": 1}`, or `**options`."""
    if _is_none(value):
        return []
    if not isinstance(value, cst.Dict):
        return [cst.Arg(value, star="**")]
    args = [_from_element(element) for element in value.elements]
    if None in args:  # a key that is no name
        return [cst.Arg(value, star="**")]
    return [arg for arg in args if arg is not None]


def _from_element(element: cst.BaseDictElement) -> cst.Arg | None:
    match element:
        case cst.StarredDictElement(value=value):
            return cst.Arg(value, star="**")
        case cst.DictElement(key=cst.SimpleString() as key, value=value):
            name = key.evaluated_value
            if isinstance(name, str) and name.isidentifier():
                return argument(name, value)
    return None


def _is_none(value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Name) and value.value == "None"


def ended_like(args: list[cst.Arg], before: Sequence[cst.Arg]) -> list[cst.Arg]:
    """`args`, the last of which is followed by what followed the last one before."""
    if not args or not before:
        return args
    last = args[-1].with_changes(
        comma=before[-1].comma, whitespace_after_arg=before[-1].whitespace_after_arg
    )
    return [*args[:-1], last]
