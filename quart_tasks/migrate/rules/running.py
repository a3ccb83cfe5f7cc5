"""`app.run`, with the options that Quart's has."""

import libcst as cst

from ..edits import argument, with_arguments
from ..module import Module
from ..rule import Rule

_KEPT = {"host", "port", "debug", "use_reloader", "loop", "ca_certs", "certfile", "keyfile"}
# Quart is concurrent by itself; its reloader and debugger have no parts to switch.
_DROPPED = {
    "threaded",
    "processes",
    "use_debugger",
    "use_evalex",
    "load_dotenv",
    "passthrough_errors",
}


class Running(Rule):
    """Options of `app.run` that mean nothing to Quart go, the certificate gets Quart's names.

    Before:

        app.run(debug=True, threaded=True, ssl_context=("cert.pem", "key.pem"))

    After:

        app.run(debug=True, certfile="cert.pem", keyfile="key.pem")
    """

    code = "QT402"

    def look(self, module: Module) -> None:
        for call in module.all(cst.Call):
            if self.origin(module, call.func) == "flask.Flask().run":
                self._adapt(module, call)

    def _adapt(self, module: Module, call: cst.Call) -> None:
        new: list[cst.Arg] = []
        for arg in call.args:
            name = arg.keyword.value if arg.keyword is not None else ""
            if name == "ssl_context" and isinstance(arg.value, cst.Tuple):
                cert, key = arg.value.elements
                new += [argument("certfile", cert.value), argument("keyfile", key.value)]
            elif name and name not in _KEPT | _DROPPED:
                self.leave(module, call, f"Quart's `run` has no `{name}`: Hypercorn may have it.")
                return
            elif name not in _DROPPED:
                new.append(arg)
        if new != list(call.args):
            change = self.change(module, call, "`run` has the options that Quart knows.")
            change.edit(call, lambda node: with_arguments(node, new))
