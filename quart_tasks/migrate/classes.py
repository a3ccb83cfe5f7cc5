"""The classes of a project: their members, bases and relatives."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import libcst as cst

from .canonical import agreed
from .definitions import is_property
from .module import Module

if TYPE_CHECKING:
    from .origin import Origins


class Classes:
    def __init__(self, origins: "Origins") -> None:
        self._origins = origins

    def bases(self, module: Module, owner: cst.ClassDef) -> list[str]:
        """The origins of the classes that it derives from, near ones first; `""` if unknown."""
        found: list[str] = []
        for base in owner.bases:
            origin = self._origins.of(module, base.value).removesuffix("[]")
            found.append(origin)
            known = self._origins.known.owner(origin)
            if known is not None and known[1] is not owner:
                found += self.bases(*known)
        return found

    def member(self, module: Module, owner: cst.ClassDef, name: str) -> str:
        """The origin of `instance.<name>`: a method, or what is assigned to it somewhere."""
        method = f"{self._origins.names[owner]}.{name}"
        if found := self._origins.known.function(method):
            return f"{method}.<value>" if is_property(found[1]) else method
        if given := self._given(module, owner, name):
            return given
        for base in self.bases(module, owner):
            if known := self._origins.known.owner(base):
                inherited = self.member(*known, name)
            else:
                inherited = self._origins.attribute(base and f"{base}()", name)
            if inherited:
                return inherited
        return ""

    def base_of(self, module: Module, node: cst.CSTNode) -> str:
        """What `super()` is at `node`: an instance of the first base."""
        owner = next((p for p in module.parents(node) if isinstance(p, cst.ClassDef)), None)
        bases = self.bases(module, owner) if owner is not None else []
        return f"{bases[0]}()" if bases and bases[0] else ""

    def namesakes(self, method: str) -> Iterator[tuple[Module, cst.FunctionDef]]:
        """The methods that this one overrides, or that override it: a call may mean any of them."""
        owner, _, name = method.rpartition(".")
        for other in self._relatives.get(owner, ()):
            if found := self._origins.known.function(f"{other}.{name}"):
                yield found

    @cached_property
    def _relatives(self) -> dict[str, set[str]]:
        relatives: dict[str, set[str]] = {}
        for module, owner in self._origins.known.classes():
            name = self._origins.names[owner]
            for base in self.bases(module, owner):
                if self._origins.known.owner(base):
                    relatives.setdefault(name, set()).add(base)
                    relatives.setdefault(base, set()).add(name)
        return relatives

    def _given(self, module: Module, owner: cst.ClassDef, name: str) -> str:
        return agreed(
            self._origins.bindings.bound(module, target)
            for target in self._targets(module).get(name, ())
            if owner in module.parents(target)
        )

    def _targets(self, module: Module) -> dict[str, list[cst.CSTNode]]:
        """What is assigned to in classes: `self.client = …`, or `client = …` in the body."""
        if module not in self._known_targets:
            found = self._known_targets[module] = {}
            parents: list[cst.AssignTarget | cst.AnnAssign] = [
                *module.all(cst.AssignTarget),
                *module.all(cst.AnnAssign),
            ]
            for parent in parents:
                target = parent.target
                match target:
                    case cst.Attribute(value=cst.Name("self" | "cls"), attr=cst.Name(value=name)):
                        found.setdefault(name, []).append(target)
                    case cst.Name(value=name) if isinstance(module.place(parent), cst.ClassDef):
                        found.setdefault(name, []).append(target)
        return self._known_targets[module]

    @cached_property
    def _known_targets(self) -> dict[Module, dict[str, list[cst.CSTNode]]]:
        return {}
