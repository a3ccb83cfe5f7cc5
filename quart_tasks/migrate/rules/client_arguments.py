"""What a test client is given to send."""

from functools import partial

import libcst as cst

from ..edits import argument, keyword, with_arguments
from ..module import Module
from ..rule import Rule
from ..sent import Sent, sent

_CLIENT = "flask.testing.FlaskClient()."
_VERBS = {"get", "post", "put", "patch", "delete", "head", "options", "trace", "open"}
_CONTEXT = "flask.Flask().test_request_context"
_KNOWN = {
    "path", "method", "headers", "data", "form", "files", "query_string", "json", "scheme",
    "follow_redirects", "root_path", "http_version", "scope_base", "auth", "subdomain",
    "content_type",
}  # fmt: skip
_STORAGE = "quart.datastructures.FileStorage"


class ClientArguments(Rule):
    """Forms, files and content types are given to Quart's client by other names.

    Before:

        client.post("/orders", data={"item": "tea", "scan": (io.BytesIO(b"…"), "scan.png")})
        client.post("/notes", data="plain", content_type="text/plain")

    After:

        await client.post(
            "/orders",
            form={"item": "tea"},
            files={"scan": FileStorage(io.BytesIO(b"…"), "scan.png")},
        )
        await client.post("/notes", data="plain", headers={"Content-Type": "text/plain"})
    """

    code = "QT505"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            origin = self.origin(module, call.func)
            method = origin.removeprefix(_CLIENT)
            if origin == _CONTEXT or (origin.startswith(_CLIENT) and method in _VERBS):
                self._call(module, call)

    def _call(self, module: Module, call: cst.Call) -> None:
        names = {arg.keyword.value for arg in call.args if arg.keyword is not None}
        if unknown := sorted(names - _KNOWN):
            self.leave(module, call, f"Quart's test client has no `{unknown[0]}`.")
            return
        data, kind = keyword(call, "data"), keyword(call, "content_type")
        given = sent(data.value, self.origin(module, data.value)) if data is not None else Sent()
        if given.why_not:
            self.leave(module, call, given.why_not)
            return
        if data is not None and not given.is_raw:
            change = self.change(module, call, "The form is given as `form`, its files as `files`.")
            change.needs_async(call)
            change.edit(call, partial(_with_form, given))
            if given.files:
                change.add_import(_STORAGE)
            if kind is not None:
                change.edit(call, _without_type)  # Quart's client knows it by itself
        elif kind is not None:
            change = self.change(module, call, "The content type is given as a header.")
            change.needs_async(call)
            change.edit(call, _without_type if "json" in names else _with_header)
        if "path" not in names and (not call.args or call.args[0].keyword is not None):
            change = self.change(module, call, "The path of the request is named.")
            change.edit(call, _with_path)


def _with_path(call: cst.Call) -> cst.Call:
    return with_arguments(call, [cst.Arg(_string("/")), *call.args])


def _with_form(given: Sent, call: cst.Call) -> cst.Call:
    args: list[cst.Arg] = []
    for arg in call.args:
        if arg.keyword is None or arg.keyword.value != "data":
            args.append(arg)
            continue
        if given.form is not None:
            args.append(argument("form", given.form))
        if given.files is not None:
            args.append(argument("files", given.files))
    return with_arguments(call, args)


def _without_type(call: cst.Call) -> cst.Call:
    kept = [a for a in call.args if a.keyword is None or a.keyword.value != "content_type"]
    return with_arguments(call, kept)


def _with_header(call: cst.Call) -> cst.Call:
    kind, headers = keyword(call, "content_type"), keyword(call, "headers")
    if kind is None:
        return call
    entry = cst.DictElement(_string("Content-Type"), kind.value)
    elements: list[cst.BaseDictElement] = [entry]
    if headers is not None and isinstance(headers.value, cst.Dict):
        elements = [*headers.value.elements, entry]
    elif headers is not None:
        elements = [cst.StarredDictElement(headers.value), entry]
    args = [arg for arg in call.args if arg is not headers]
    return with_arguments(
        call, [argument("headers", cst.Dict(elements)) if arg is kind else arg for arg in args]
    )


def _string(text: str) -> cst.SimpleString:
    return cst.SimpleString(f'"{text}"')
