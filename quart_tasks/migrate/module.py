"""One Python file: its tree, and what stands where in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider, Scope, ScopeProvider

Node = TypeVar("Node", bound=cst.CSTNode)
COMPREHENSIONS = (cst.GeneratorExp, cst.ListComp, cst.SetComp, cst.DictComp)
# Where an expression can run: what of these has it innermost decides whether it may await.
Place = cst.FunctionDef | cst.Lambda | cst.GeneratorExp | cst.ClassDef | cst.Module


class Module:
    """`name` is the dotted name from the project's root; a package's is that of the directory."""

    def __init__(self, path: Path, name: str, source: str, is_package: bool = False) -> None:
        self.path = path
        self.name = name
        self.source = source
        self.package = name if is_package else name.rpartition(".")[0]
        self._wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
        self.tree = self._wrapper.module
        walk = _Walk()
        self.tree.visit(walk)
        self._parents, self._by_type, self._order = walk.parents, walk.by_type, walk.order
        self._scopes: Any = None
        self._positions: Any = None

    def all(self, kind: type[Node]) -> list[Node]:
        """Every node of exactly this type, in the order of the source."""
        return self._by_type.get(kind, [])  # type: ignore[return-value]

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        return self._parents.get(node)

    def parents(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """The nodes around `node`, from the inside out."""
        while (parent := self._parents.get(node)) is not None:
            yield parent
            node = parent

    def order(self, node: cst.CSTNode) -> int:
        """A number that is higher the later a node begins in the source."""
        return self._order[node]

    def scope(self, node: cst.CSTNode) -> Scope | None:
        """The scope whose names `node` sees; the nearest one where libcst gives it none."""
        if self._scopes is None:
            self._scopes = self._wrapper.resolve(ScopeProvider)
        scope: Scope | None = self._scopes.get(node)
        if scope is None:
            scope = next(filter(None, map(self._scopes.get, self.parents(node))), None)
        return scope

    def line(self, node: cst.CSTNode) -> int:
        if self._positions is None:  # costs as much as two parses, so only if something is found
            self._positions = self._wrapper.resolve(PositionProvider)
        return int(self._positions[node].start.line)

    def place(self, node: cst.CSTNode) -> Place:
        """What runs `node`: the innermost function, lambda, generator, class body or module.

        Defaults, decorators and annotations of a function run outside of it, and so does what a
        comprehension's first `for` iterates. Other comprehensions may await where they stand.
        """
        child: cst.CSTNode = node
        for parent in self.parents(node):
            if isinstance(parent, cst.FunctionDef | cst.ClassDef | cst.Lambda):
                if child is parent.body:
                    return parent
            elif isinstance(parent, cst.Module) or self._is_generator(parent, node):
                return parent
            child = parent
        return self.tree

    def function(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """The function that runs `node`, unless a lambda, generator or class body does."""
        place = self.place(node)
        return place if isinstance(place, cst.FunctionDef) else None

    def statement(self, node: cst.CSTNode) -> cst.CSTNode:
        """The statement of `node` that a comment can stand above."""
        for found in (node, *self.parents(node)):
            if hasattr(found, "leading_lines") and not isinstance(found, cst.Else | cst.Decorator):
                return found
        return self.tree

    def text(self, node: cst.CSTNode) -> str:
        return self.tree.code_for_node(node).strip()

    def _is_generator(self, parent: cst.CSTNode, node: cst.CSTNode) -> TypeGuard[cst.GeneratorExp]:
        """Whether a generator expression runs `node`, which its first iterable is not part of."""
        if not isinstance(parent, cst.GeneratorExp):
            return False
        iterable = parent.for_in.iter
        return node is not iterable and iterable not in set(self.parents(node))


class _Walk(cst.CSTVisitor):
    """Parents, types and order in one go: libcst's own provider of parents takes three times."""

    def __init__(self) -> None:
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self.by_type: dict[type[cst.CSTNode], list[cst.CSTNode]] = {}
        self.order: dict[cst.CSTNode, int] = {}
        self._stack: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._stack:
            self.parents[node] = self._stack[-1]
        self.order[node] = len(self.order)
        self.by_type.setdefault(type(node), []).append(node)
        self._stack.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self._stack.pop()
