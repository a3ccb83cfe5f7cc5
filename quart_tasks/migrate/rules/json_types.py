"""What a body of another type gives."""

import libcst as cst

from ..edits import keyword
from ..module import Module
from ..plan import Plan
from ..rule import Rule


class JsonTypes(Rule):
    """Quart gives None where Flask answers 415; told once, and nothing is changed.

    Before:

        data = request.get_json()

    After:

        data = await request.get_json()     # None if the body is not said to be JSON
    """

    code = "QT307"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._is_told = False

    def look(self, module: Module) -> None:
        for attribute in module.all(cst.Attribute):
            if self._is_told:
                return
            origin = self.origin(module, attribute)
            call = module.parent(attribute)
            if origin == "flask.Request().get_json" and isinstance(call, cst.Call):
                if keyword(call, "force") or keyword(call, "silent"):
                    continue
            elif origin != "flask.Request().json":
                continue
            text = "If the body is not said to be JSON this is None; Flask answers 415."
            self.note(module, attribute, text)
            self._is_told = True
