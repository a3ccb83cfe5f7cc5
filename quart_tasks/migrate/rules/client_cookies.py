"""Cookies of a test client."""

from functools import partial

import libcst as cst

from ..edits import keyword
from ..module import Module
from ..rule import Rule


class ClientCookies(Rule):
    """Quart's client wants the server's name first.

    Before:

        client.set_cookie("theme", "dark")

    After:

        client.set_cookie("localhost", "theme", "dark")
    """

    code = "QT504"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            origin = self.origin(module, call.func)
            method = origin.removeprefix("flask.testing.FlaskClient().")
            if method not in ("set_cookie", "delete_cookie"):
                continue
            given = [arg for arg in call.args if arg.keyword is None]
            # With one more it is what Quart, and Werkzeug before 2.3, wants.
            if len(given) > (2 if method == "set_cookie" else 1) or not given:
                continue
            domain = keyword(call, "domain")
            server = domain.value if domain is not None else cst.SimpleString('"localhost"')
            change = self.change(module, call, f"`{method}` names the server.")
            change.edit(call, partial(_with_server, server))


def _with_server(server: cst.BaseExpression, call: cst.Call) -> cst.Call:
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    kept = [arg for arg in call.args if arg.keyword is None or arg.keyword.value != "domain"]
    kept[-1] = kept[-1].with_changes(comma=call.args[-1].comma)
    return call.with_changes(args=[cst.Arg(server, comma=comma), *kept])
