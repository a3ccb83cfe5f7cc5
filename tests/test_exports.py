"""What the package shows, and which of its modules may import which."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import quart_tasks
from quart_tasks import QuartTasksError, exceptions

ROOT = Path(quart_tasks.__file__).parent


def test_exported_names_are_sorted_and_there() -> None:
    names = quart_tasks.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    assert all(hasattr(quart_tasks, name) for name in names)


@pytest.mark.parametrize("name", quart_tasks.__all__)
def test_exported_name_has_a_docstring(name: str) -> None:
    value = getattr(quart_tasks, name)
    doc = value.__doc__ or ""
    assert doc.strip()
    assert not doc.startswith(f"{name}("), "only the one that a dataclass makes for itself"


@pytest.mark.parametrize("kind", [quart_tasks.QuartTasks, quart_tasks.TaskHandle])
def test_public_methods_have_docstrings(kind: type) -> None:
    methods = {
        name: value
        for name, value in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }
    assert methods
    assert [name for name, method in methods.items() if not method.__doc__] == []


def test_errors_are_one_tree() -> None:
    errors = [
        value
        for name in quart_tasks.__all__
        if isinstance(value := getattr(quart_tasks, name), type)
        and issubclass(value, BaseException)
    ]
    assert QuartTasksError in errors
    assert all(issubclass(error, QuartTasksError) for error in errors)
    named = {value.__name__ for value in vars(exceptions).values() if value in errors}
    assert named == {error.__name__ for error in errors}


@pytest.mark.parametrize(
    "error",
    [value for value in vars(exceptions).values() if isinstance(value, type)],
)
def test_error_without_a_message_says_what_its_docstring_says(
    error: type[QuartTasksError],
) -> None:
    message = str(error())
    assert len(message.split()) >= 3
    assert message in (error.__doc__ or "")


# -- imports -------------------------------------------------------------------------------

MODULES = {
    ".".join(("quart_tasks", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in ROOT.rglob("*.py")
}


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All of a module's nodes but those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from run_time_nodes(other)
            continue
        yield child
        yield from run_time_nodes(child)


def imports(module: str) -> set[str]:
    """The modules that a module imports, wherever in it: of this package with their full
    names, of others too."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in run_time_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(parts if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                found.add(submodule if submodule in MODULES else base)
    return found


GRAPH = {module: imports(module) for module in MODULES}


def reachable(module: str) -> set[str]:
    seen: set[str] = set()
    todo = [module]
    while todo:
        for found in GRAPH.get(todo.pop(), set()) - seen:
            seen.add(found)
            todo.append(found)
    return seen


def test_the_graph_is_that_of_the_package() -> None:
    assert GRAPH["quart_tasks.api"] >= {"quart_tasks.extension", "quart_tasks.exceptions"}
    assert "quart_tasks.context" in GRAPH["quart_tasks.executors.base"]
    assert "quart" in GRAPH["quart_tasks.extension"]
    assert "quart_tasks.registry" in reachable("quart_tasks.api")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_round_in_no_circle(module: str) -> None:
    assert module not in reachable(module)


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if name.startswith("quart_tasks.executors"))
)
def test_executors_know_nothing_of_states_retries_or_http(module: str) -> None:
    above = ("quart_tasks.registry", "quart_tasks.runner", "quart_tasks.web")
    assert [each for each in reachable(module) if each.startswith(above)] == []


LEAN = ["quart_tasks.executors.process_worker", "quart_tasks.client", "quart_tasks.client.sync"]


@pytest.mark.parametrize("module", LEAN)
def test_what_runs_in_other_processes_needs_no_quart(module: str) -> None:
    script = f"import sys, {module}; print('quart' in sys.modules, 'hypercorn' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_an_app_starts_without_what_only_some_apps_and_commands_need() -> None:
    script = """
import asyncio, sys
import quart_tasks.cli.serving
from quart import Quart
from quart_tasks import QuartTasks

async def start():
    app = Quart("app")
    QuartTasks(app)
    async with app.test_app():
        some = {"aiohttp", "rich", "libcst", "a2wsgi", "celery", "quart_tasks.client"}
        print(some & set(sys.modules))

asyncio.run(start())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_record_and_what_is_below_it_need_no_event_loop() -> None:
    assert "asyncio" not in reachable("quart_tasks.record")


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if name.startswith("quart_tasks.migrate"))
)
def test_the_codemod_imports_nothing_else_of_the_package(module: str) -> None:
    ours = {each for each in GRAPH[module] if each.partition(".")[0] == "quart_tasks"}
    assert [each for each in ours if not each.startswith("quart_tasks.migrate")] == []


@pytest.mark.long
def test_any_module_can_be_the_first_that_is_imported() -> None:
    modules = sorted(name for name in MODULES if not name.endswith("__main__"))
    script = f"""
import importlib, sys
for name in {modules}:
    for known in [each for each in sys.modules if each.partition(".")[0] == "quart_tasks"]:
        del sys.modules[known]
    importlib.import_module(name)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
