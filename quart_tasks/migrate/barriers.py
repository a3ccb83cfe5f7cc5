"""Why a function cannot become async, seen from the function itself."""

import libcst as cst

from .decorators import Decorators
from .definitions import is_property
from .extensions import TWINS, extension
from .flask_names import registers, seems_to_register
from .module import Module
from .plan import Plan
from .quart_api import has, is_coroutine

# Decorators that hand on what they decorate, or await it.
_TRANSPARENT = {
    "builtins.staticmethod", "builtins.classmethod", "functools.wraps()", "abc.abstractmethod",
    "typing.override", "typing_extensions.override", "pytest.fixture", "pytest.fixture()",
    "pytest.yield_fixture", "pytest.yield_fixture()",
    "pytest_asyncio.fixture", "pytest_asyncio.fixture()", "unittest.mock.patch()",
    "unittest.mock.patch.object()", "unittest.mock.patch.dict()", "unittest.skip()",
    "unittest.skipIf()", "unittest.skipUnless()", "unittest.expectedFailure",
    "freezegun.freeze_time()", "responses.activate", "responses.activate()",
    "parameterized.parameterized.expand()", "hypothesis.given()", "hypothesis.settings()",
}  # fmt: skip
_FIXTURES = {"pytest.fixture", "pytest.yield_fixture", "pytest_asyncio.fixture"}
# Bases that call no method by themselves, or await those that they call.
_PLAIN_BASES = {
    "builtins.object", "abc.ABC", "typing.Protocol", "typing.Generic", "typing.NamedTuple",
    "enum.Enum", "flask.views.View", "flask.views.MethodView", "unittest.TestCase",
    "unittest.IsolatedAsyncioTestCase", "unittest.case.TestCase", "builtins.Exception",
    "aiounittest.AsyncTestCase", "flask_testing.TestCase",
}  # fmt: skip
_TEST_HOOKS = {
    "setUpClass", "tearDownClass", "setup_method", "teardown_method", "setup_class",
    "teardown_class", "setup_module", "teardown_module", "setup_function", "teardown_function",
}  # fmt: skip


class Barriers:
    def __init__(self, plan: Plan, decorators: Decorators) -> None:
        self._plan = plan
        self._origins = plan.origins
        self._decorators = decorators

    def of(self, module: Module, function: cst.FunctionDef) -> str:
        """The end of a sentence, as in "`load` cannot become async: <it>"; "" for no barrier."""
        name = function.name.value
        is_method = isinstance(module.place(function), cst.ClassDef)
        if is_method and name.startswith("__") and name.endswith("__"):
            return "Python calls it and does not await it"
        if is_property(function):
            return "it is a property"
        if name in _TEST_HOOKS or name.startswith("pytest_"):
            return "the test runner calls it and does not await it"
        if self._yields(module, function) and not self._is_fixture(module, function):
            return "it is a generator"
        for decorator in function.decorators:
            if why := self._decorator(module, decorator):
                return why
        return ""

    def caller(self, module: Module, function: cst.FunctionDef) -> str:
        """The base class from elsewhere that may call this method without awaiting it, or ""."""
        owner = module.place(function)
        if not isinstance(owner, cst.ClassDef):
            return ""
        for base in self._origins.classes.bases(module, owner):
            if base in _PLAIN_BASES or self._origins.known.owner(base) or extension(base) in TWINS:
                continue
            method = f"{base}.{function.name.value}"
            if base.startswith("flask.") and (is_coroutine(method) or not has(method)):
                continue
            return base or "a base class that is not known"
        return ""

    def _yields(self, module: Module, function: cst.FunctionDef) -> bool:
        return any(module.function(node) is function for node in module.all(cst.Yield))

    def _is_fixture(self, module: Module, function: cst.FunctionDef) -> bool:
        origins = (self._origins.of(module, one.decorator) for one in function.decorators)
        return any(origin.removesuffix("()") in _FIXTURES for origin in origins)

    def _decorator(self, module: Module, decorator: cst.Decorator) -> str:
        node = decorator.decorator
        origin = self._origins.of(module, node)
        if origin in _TRANSPARENT or origin.startswith("pytest.mark.") or registers(origin):
            return ""
        if origin and extension(origin) in TWINS:
            return ""  # the twin's decorator awaits it
        if self._plan.is_claimed(node) or self._decorators.named(origin) is not None:
            return ""
        called = node.func if isinstance(node, cst.Call) else node
        name = called.attr.value if isinstance(called, cst.Attribute) else ""
        if not origin and seems_to_register(name):
            return ""
        return f"its decorator `{module.text(called)}` may not await it"
