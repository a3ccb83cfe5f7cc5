"""One rule a file; all of them are imported here, and so enter `rule.RULES`."""

from importlib import import_module
from pkgutil import iter_modules

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")
