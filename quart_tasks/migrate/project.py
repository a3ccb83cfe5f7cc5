"""The Python files under a path, by their module names."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import libcst as cst

from .module import Module

SKIPPED = {"node_modules", "__pycache__", "site-packages", "build", "dist"}


class Project:
    """`modules` by canonical name: the path from the root, with dots.

    `unread` says of each file that could not be parsed why not.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, Module] = {}
        self.unread: dict[Path, str] = {}
        self._words: dict[Path, set[str]] = {}
        # A module of `src/shop/` is imported as `shop.…`; a test beside a conftest, by its stem.
        self._also: dict[str, str] = {}

    def read(self, path: Path) -> None:
        relative = path.relative_to(self.root).with_suffix("")
        is_package = relative.name == "__init__"
        parts = relative.parts[:-1] if is_package else relative.parts
        name = ".".join(parts) or path.parent.name
        try:
            with path.open(encoding="utf-8", newline="") as file:
                module = Module(path, name, file.read(), is_package)
        except (cst.ParserSyntaxError, UnicodeDecodeError, RecursionError) as error:
            self.unread[path] = str(error).splitlines()[0]
            self._words[path] = set(re.findall(r"\w+", path.read_text("utf-8", "replace")))
            return
        self.modules[name] = module
        self._also.setdefault(_imported_as(path, is_package), name)

    def unread_with(self, *words: str) -> Path | None:
        """A file that could not be parsed and has all these words, as one that calls it would."""
        return next((path for path in self.unread if self._words[path].issuperset(words)), None)

    def split(self, name: str) -> tuple[Module, str] | None:
        """The module that a dotted name begins with, and the rest: `shop.jobs.render`."""
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            start = ".".join(parts[:end])
            module = self.modules.get(start) or self.modules.get(self._also.get(start, ""))
            if module is not None:
                return module, ".".join(parts[end:])
        return None


def read_project(path: Path, on_file: Callable[[int, int], None] | None = None) -> Project:
    """Parse every file under `path`, or the one that it is; `on_file(done, total)` after each."""
    root = path if path.is_dir() else path.parent
    project = Project(root)
    files = list(_files(path))
    for number, file in enumerate(files, 1):
        project.read(file)
        if on_file is not None:
            on_file(number, len(files))
    return project


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not _is_skipped(Path(folder, name)))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _is_skipped(folder: Path) -> bool:
    name = folder.name
    return name in SKIPPED or name.startswith(".") or (folder / "pyvenv.cfg").exists()


def _imported_as(path: Path, is_package: bool) -> str:
    """The name from the nearest directory around `path` that is no package."""
    parts = [] if is_package else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)
