"""What `data=` of Flask's test client is, which takes forms, files and raw bodies alike."""

from dataclasses import dataclass
from typing import Self

import libcst as cst

_RAW = ("builtins.str()", "builtins.bytes()", "json.dumps()", "flask.json.dumps()")
_UNKNOWN = "Quart's test client takes a form as `form`, files as `files` and a raw body as `data`."
_LIST = "Quart's test client takes one value for each name of a form: send this body as `data`."


@dataclass(frozen=True)
class Sent:
    """The form and the files of a request; `is_raw` for a body that stays `data`."""

    form: cst.BaseExpression | None = None
    files: cst.Dict | None = None
    is_raw: bool = False
    why_not: str = ""

    @classmethod
    def of(cls, entries: list[tuple[cst.BaseExpression, cst.BaseExpression]]) -> Self:
        """That of a form with these names and values; a tuple is a file with its name."""
        form, files = [], []
        for name, value in entries:
            if isinstance(value, cst.List | cst.Set):
                return cls(why_not=_LIST)
            if isinstance(value, cst.Tuple):
                if len(value.elements) < 2:
                    return cls(why_not=_UNKNOWN)
                files.append(cst.DictElement(name, _storage(value)))
            else:
                form.append(cst.DictElement(name, value))
        return cls(
            form=cst.Dict(form) if form or not files else None,
            files=cst.Dict(files) if files else None,
        )


def sent(data: cst.BaseExpression, origin: str) -> Sent:
    match data:
        case cst.Dict(elements=elements):
            entries = [(e.key, e.value) for e in elements if isinstance(e, cst.DictElement)]
            if len(entries) < len(elements):
                return Sent(why_not=_UNKNOWN)
            return _as_it_was(data, Sent.of(entries))
        case cst.Call(func=cst.Name("dict"), args=args):
            named = [(arg.keyword, arg.value) for arg in args if arg.keyword is not None]
            if len(named) < len(args):
                return Sent(why_not=_UNKNOWN)
            quoted = [(cst.SimpleString(f'"{name.value}"'), value) for name, value in named]
            return _as_it_was(data, Sent.of([*quoted]))
    if origin.startswith(_RAW) or origin == "":
        return Sent(is_raw=True) if origin else Sent(why_not=_UNKNOWN)
    return Sent(form=data) if origin == "builtins.dict()" else Sent(why_not=_UNKNOWN)


def _as_it_was(data: cst.BaseExpression, found: Sent) -> Sent:
    """The form in its own words, comments included, if it has no files."""
    return found if found.files or found.why_not else Sent(form=data)


def _storage(value: cst.Tuple) -> cst.Call:
    """`(stream, name, type)` as a `FileStorage`."""
    stream, name, *kind = (element.value for element in value.elements)
    args = [cst.Arg(stream), cst.Arg(name)]
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    args += [cst.Arg(one, keyword=cst.Name("content_type"), equal=tight) for one in kind]
    return cst.Call(cst.Name("FileStorage"), args)
