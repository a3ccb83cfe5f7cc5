"""Why functions cannot become async."""

import libcst as cst

from .origin import Origins


class Reasons:
    """The functions that cannot, each with its reason and the other one that it is about."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._known: dict[cst.FunctionDef, tuple[str, cst.FunctionDef | None]] = {}

    def __contains__(self, function: cst.FunctionDef) -> bool:
        return function in self._known

    def add(self, function: cst.FunctionDef, why: str, cause: cst.FunctionDef | None) -> None:
        self._known[function] = why, cause

    def of(self, function: cst.FunctionDef) -> str:
        """Why a function cannot: of a chain of reasons its two ends are worth reading."""
        why, cause = self._known[function]
        text = f"`{self.label(function)}` cannot become async: {why}"
        if cause is None:
            return text
        link = "and"
        while (further := self._known[cause][1]) is not None:
            cause, link = further, "and in the end"
        return f"{text}, {link} {self.of(cause)}"

    def label(self, function: cst.FunctionDef) -> str:
        """`load`, or `Order.load` for a method."""
        owner, _, name = self._origins.names[function].rpartition(".")
        is_method = self._origins.known.owner(owner) is not None
        return f"{owner.rpartition('.')[2]}.{name}" if is_method else function.name.value
