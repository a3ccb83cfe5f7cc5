"""Test cases of unittest that became async."""

import libcst as cst

from ..edits import renamed
from ..module import Module
from ..rule import Rule

_SETUP = {"setUp": "asyncSetUp", "tearDown": "asyncTearDown"}
_CASES = {"unittest.TestCase", "unittest.case.TestCase"}


class TestCases(Rule):
    """A case with async methods is an `IsolatedAsyncioTestCase`.

    Before:

        class Index(unittest.TestCase):
            def test_index(self):
                self.assertEqual(self.client.get("/").status_code, 200)

    After:

        class Index(unittest.IsolatedAsyncioTestCase):
            async def test_index(self):
                self.assertEqual((await self.client.get("/")).status_code, 200)
    """

    __test__ = False  # pytest would take it for tests where it is imported
    code = "QT502"

    def coloured(self, module: Module) -> None:
        for owner in module.all(cst.ClassDef):
            if not self._is_async(module, owner):
                continue
            for base in owner.bases:
                if self.origin(module, base.value) in _CASES:
                    self._convert(module, owner, base.value)
        for function in module.all(cst.FunctionDef):
            new = _SETUP.get(function.name.value)
            if new and function in self.plan.async_functions:
                change = self.change(module, function, f"It became `{new}`.")
                change.edit(function.name, renamed(new))

    def _is_async(self, module: Module, owner: cst.ClassDef) -> bool:
        """Whether it or a class that derives from it has methods that became async."""
        name = self.plan.origins.names[owner]
        owners = {owner}
        for other, derived in self.plan.origins.known.classes():
            if name in self.plan.origins.classes.bases(other, derived):
                owners.add(derived)
        return any(
            function in self.plan.async_functions
            for other in self.project.modules.values()
            for function in other.all(cst.FunctionDef)
            if other.place(function) in owners
        )

    def _convert(self, module: Module, owner: cst.ClassDef, base: cst.BaseExpression) -> None:
        new = "IsolatedAsyncioTestCase"
        change = self.change(module, owner, f"`{owner.name.value}` is an `{new}`.")
        if isinstance(base, cst.Attribute):
            change.edit(base.attr, renamed(new))
        else:
            change.edit(base, lambda _: cst.Name(new))
            change.add_import(f"unittest.{new}")
            change.drop_import("unittest.TestCase")
