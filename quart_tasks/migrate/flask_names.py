"""What of Flask takes a function, and so takes a coroutine function in Quart as well."""

import re

_HOOKS = (
    "before_request|after_request|teardown_request|teardown_appcontext|before_first_request|"
    "before_app_request|after_app_request|teardown_app_request|before_app_first_request|"
    "context_processor|app_context_processor|template_filter|template_global|app_template_filter|"
    "app_template_global|add_template_filter|add_template_global|add_app_template_filter|"
    "add_app_template_global|errorhandler|app_errorhandler|register_error_handler|"
    "before_serving|after_serving|while_serving|endpoint"
)
_ROUTES = "route|get|post|put|delete|patch|add_url_rule"
# Names that mean little else, of a receiver that is not known.
_PLAIN = re.compile(rf"{_HOOKS}|add_url_rule")
_KNOWN = re.compile(rf"flask\.(?:Flask|Blueprint)\(\)\.(?:{_HOOKS}|{_ROUTES})(?:\(\))?")
_SEEMING = re.compile(rf"(?:{_HOOKS}|{_ROUTES})")
VIEW_METHODS = {
    "dispatch_request", "get", "post", "put", "patch", "delete", "head", "options", "trace",
}  # fmt: skip
_OTHERS = re.compile(r"flask\.after_this_request|flask\.\w+\.connect(?:_via\(\))?")


def registers(origin: str) -> bool:
    """Whether what has this origin takes views or hooks, as `flask.Flask().route()` does."""
    return bool(_KNOWN.fullmatch(origin) or _OTHERS.fullmatch(origin))


def seems_to_register(attribute: str) -> bool:
    """Whether a decorator `@something.<attribute>` most likely does."""
    return bool(_SEEMING.fullmatch(attribute))


def seems_to_take(attribute: str) -> bool:
    """Whether a call `something.<attribute>(function)` most likely does."""
    return bool(_PLAIN.fullmatch(attribute))
