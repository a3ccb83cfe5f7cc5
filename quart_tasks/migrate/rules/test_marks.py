"""Tests and fixtures of pytest that became async."""

import re

import libcst as cst

from ..definitions import decorator_names, is_test
from ..module import Module
from ..plan import Plan
from ..rule import Rule

_SETTINGS = ("pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini")
_AUTO = re.compile(r"asyncio_mode\s*=\s*[\"']?auto")
_FIXTURES = {"pytest.fixture", "pytest.yield_fixture"}


class TestMarks(Rule):
    """pytest-asyncio runs them, so they say that they are its own.

    Before:

        @pytest.fixture
        def token(client):
            return client.post("/login").get_json()["token"]

        def test_index(client):
            assert client.get("/").status_code == 200

    After:

        @pytest_asyncio.fixture
        async def token(client):
            return (await (await client.post("/login")).get_json())["token"]

        @pytest.mark.asyncio
        async def test_index(client):
            assert (await client.get("/")).status_code == 200

    With `asyncio_mode = auto` in pytest's settings they need not say it.
    """

    __test__ = False  # pytest would take it for tests where it is imported
    code = "QT501"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        folders = (plan.project.root, plan.project.root.parent)
        files = [folder / name for folder in folders for name in _SETTINGS]
        self._is_auto = any(
            _AUTO.search(file.read_text("utf-8", "replace")) for file in files if file.is_file()
        )
        self._is_told = False

    def coloured(self, module: Module) -> None:
        if self._is_auto:
            return
        for function in module.all(cst.FunctionDef):
            if function in self.plan.async_functions:
                self._mark_fixture(module, function)
                if is_test(function) and not self._is_marked(module, function):
                    self._mark(module, function)

    def _mark_fixture(self, module: Module, function: cst.FunctionDef) -> None:
        for decorator in function.decorators:
            node = decorator.decorator
            called = node.func if isinstance(node, cst.Call) else node
            if self.origin(module, called) in _FIXTURES:
                name = function.name.value
                change = self.change(module, function, f"The fixture `{name}` is an async one.")
                self._tell(module, function)
                change.edit(called, lambda _: cst.parse_expression("pytest_asyncio.fixture"))
                change.add_import("pytest_asyncio")
                change.drop_import("pytest")
                change.drop_import("pytest.fixture")

    def _mark(self, module: Module, function: cst.FunctionDef) -> None:
        change = self.change(module, function, f"`{function.name.value}` is an async test.")
        self._tell(module, function)
        change.add_import("pytest")
        mark = cst.Decorator(cst.parse_expression("pytest.mark.asyncio"))
        change.edit(function, lambda new: new.with_changes(decorators=[mark, *new.decorators]))

    def _tell(self, module: Module, function: cst.FunctionDef) -> None:
        if not self._is_told:
            self.note(module, function, "pytest-asyncio runs async tests and fixtures: install it.")
            self._is_told = True

    def _is_marked(self, module: Module, function: cst.FunctionDef) -> bool:
        """Whether it is a test of unittest, or marked already, alone or with its module."""
        owner = module.place(function)
        if isinstance(owner, cst.ClassDef):
            bases = self.plan.origins.classes.bases(module, owner)
            if any(base.startswith("unittest.") for base in bases):
                return True
        elif not isinstance(owner, cst.Module):
            return True  # a function within another is no test
        if decorator_names(function) & {"asyncio", "anyio", "fixture"}:
            return True
        return any(
            isinstance(target.target, cst.Name) and target.target.value == "pytestmark"
            for target in module.all(cst.AssignTarget)
        )
