"""`response.text` of a test client's answer."""

import libcst as cst

from ..module import Module
from ..rule import Rule


class ResponseText(Rule):
    """The text of an answer is asked for.

    Before:

        assert "Hello" in client.get("/").text

    After:

        assert "Hello" in await (await client.get("/")).get_data(as_text=True)
    """

    code = "QT503"

    def look(self, module: Module) -> None:
        for attribute in module.all(cst.Attribute):
            if self.origin(module, attribute) == "flask.Response().text":
                change = self.change(module, attribute, "`text` became `get_data(as_text=True)`.")
                change.edit(attribute, _asked)
                change.wait(attribute)


def _asked(node: cst.Attribute) -> cst.Call:
    method = node.with_changes(attr=cst.Name("get_data"), lpar=[], rpar=[])
    text = cst.parse_expression("f(as_text=True)")
    call = cst.ensure_type(text, cst.Call)
    return call.with_changes(func=method, lpar=node.lpar, rpar=node.rpar)
