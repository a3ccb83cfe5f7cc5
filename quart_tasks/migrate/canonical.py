"""One name for what Flask offers under several."""

import re
from collections.abc import Iterable
from functools import cache

from .quart_api import RENAMED

_CLIENT, _RESPONSE = "flask.testing.FlaskClient()", "flask.Response()"
_FLASK_NAMES = {quart: flask for flask, quart in RENAMED.items()}
# Modules of Flask whose public names are in `flask` too.
_INNER = "app|blueprints|config|ctx|globals|helpers|json|signals|templating|wrappers"
_TOP = (
    "Flask Blueprint Config Request Response abort after_this_request appcontext_popped "
    "appcontext_pushed appcontext_tearing_down before_render_template copy_current_request_context "
    "current_app flash g get_flashed_messages get_template_attribute got_request_exception "
    "has_app_context has_request_context jsonify make_response message_flashed redirect "
    "render_template render_template_string request request_finished request_started "
    "request_tearing_down send_file send_from_directory session stream_template "
    "stream_template_string stream_with_context template_rendered url_for"
)
_REWRITTEN = [
    (rf"^flask\.(?:{_INNER})\.({_TOP.replace(' ', '|')})\b", r"flask.\1"),
    (r"^flask\.request\b", "flask.Request()"),
    (r"^flask\.current_app\b", "flask.Flask()"),
    (r"\(\)\._get_current_object\(\)$", "()"),
    (r"\(\)\.__enter__\(\)$", "()"),
    (r"^flask\.Flask\(\)(?:\.test_app\(\))?\.test_client\(\)$", _CLIENT),
    (r"^flask\.testing\.FlaskClient\(\)\.(get|post|put|patch|delete|head|options|trace|open)\(\)$",
     _RESPONSE),
    (r"^flask\.Flask\(\)\.(?:app|request|test_request)_context\(\)\.(push|pop)$",
     r"flask.ctx.AppContext().\1"),
    (r"^flask\.(make_response|jsonify|send_file|send_from_directory)\(\)$", _RESPONSE),
    (r"^flask\.Flask\(\)\.(make_response|response_class|process_response)\(\)$", _RESPONSE),
    (r"^flask\.Request\(\)\.files(\[\]|\.get\(\)|\.getlist\(\)\[\]|\.values\(\)\[\]|"
     r"\.items\(\)\[\]\[1\])$",
     "flask.datastructures.FileStorage()"),
]  # fmt: skip
_PATTERNS = [(re.compile(pattern), to) for pattern, to in _REWRITTEN]


@cache
def canonical(name: str) -> str:
    """`quart.Quart` and `flask.app.Flask` are `flask.Flask`, `flask.request` is `flask.Request()`.

    Quart's names count as Flask's, so that a file that is half migrated is understood too.
    """
    if name == "quart" or name.startswith("quart."):
        name = "flask" + name.removeprefix("quart")
    if name.startswith("flask."):
        name = re.sub(r"\w+", lambda word: _FLASK_NAMES.get(word.group(), word.group()), name)
    for pattern, to in _PATTERNS:
        name = pattern.sub(to, name)
    return name


def agreed(origins: Iterable[str]) -> str:
    """The one origin that all have who have any."""
    found = set(filter(None, origins))
    return found.pop() if len(found) == 1 else ""


def with_suffix(origin: str, suffix: str) -> str:
    """The origin with something more, if it is known."""
    return origin and origin + suffix
