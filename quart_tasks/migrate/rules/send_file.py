"""The arguments of `send_file` and `send_from_directory`."""

import libcst as cst

from ..edits import argument, keyword, renamed, with_arguments
from ..module import Module
from ..rule import Rule

_RENAMED = {
    "download_name": "attachment_filename",
    "max_age": "cache_timeout",
    "etag": "add_etags",
    "path_or_file": "filename_or_io",
    "filename": "file_name",
    "path": "file_name",
}
# What is in a path that is absolute.
_ABSOLUTE = ("root_path", "instance_path", "static_folder", "__file__", "abspath", "BytesIO")


class SendFile(Rule):
    """Quart has older names for some arguments, and answers ranges only if it is asked to.

    Flask takes a relative path from the app's root, Quart from the working directory.

    Before:

        return send_file("report.pdf", download_name="r.pdf")

    After:

        return await send_file(
            os.path.join(current_app.root_path, "report.pdf"),
            attachment_filename="r.pdf",
            conditional=True,
        )
    """

    code = "QT403"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            origin = self.origin(module, call.func)
            if origin not in ("flask.send_file", "flask.send_from_directory") or not call.args:
                continue
            if self.origin(module, call.args[0].value) == "builtins.open()":
                self.leave(module, call, "Quart sends a path or a `BytesIO`, no open file.")
                continue
            if isinstance(module.parent(call), cst.Await):
                continue  # migrated before
            self._rename(module, call)
            self._make_absolute(module, call)
            if origin == "flask.send_file" and keyword(call, "conditional") is None:
                change = self.change(module, call, "`send_file` answers ranges as Flask's does.")
                change.needs_async(call)
                change.edit(call, _conditional)

    def _rename(self, module: Module, call: cst.Call) -> None:
        for arg in call.args:
            if arg.keyword is not None and arg.keyword.value in _RENAMED:
                new = _RENAMED[arg.keyword.value]
                change = self.change(module, call, f"`{arg.keyword.value}` became `{new}`.")
                change.edit(arg.keyword, renamed(new))
                change.needs_async(call)

    def _make_absolute(self, module: Module, call: cst.Call) -> None:
        path = call.args[0].value
        if not isinstance(path, cst.SimpleString):
            if not any(word in module.text(path) for word in _ABSOLUTE):
                text = "Quart takes a relative path from the working directory, not the app's root."
                self.note(module, call, text)
        elif not path.raw_value.startswith("/"):
            change = self.change(module, call, f"{path.value} is taken from the app's root.")
            change.needs_async(call)
            change.edit(path, _from_root)
            change.add_import("os")
            change.add_import("quart.current_app")


def _from_root(path: cst.BaseExpression) -> cst.Call:
    root = cst.parse_expression("current_app.root_path")
    return cst.Call(cst.parse_expression("os.path.join"), [cst.Arg(root), cst.Arg(path)])


def _conditional(call: cst.Call) -> cst.Call:
    return with_arguments(call, [*call.args, argument("conditional", cst.Name("True"))])
