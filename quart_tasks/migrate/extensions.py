"""What is known of Flask's extensions under Quart."""

# Extensions for Quart that do the same, often with other names; their decorators await views.
TWINS = {
    "flask_assets": "quart_assets",
    "flask_babel": "quart_babel",
    "flask_bcrypt": "quart_bcrypt",
    "flask_compress": "quart_compress",
    "flask_cors": "quart_cors",
    "flask_discord": "quart_discord",
    "flask_httpauth": "quart_httpauth",
    "flask_injector": "quart_injector",
    "flask_jwt_extended": "quart_jwt_extended",
    "flask_limiter": "quart_rate_limiter",
    "flask_login": "quart_auth",
    "flask_minify": "quart_minify",
    "flask_pymongo": "quart_mongo",
    "flask_redis": "quart_redis",
    "flask_restful": "quart_schema",
    "flask_restx": "quart_schema",
    "flask_seasurf": "quart_csrf",
    "flask_security": "quart_security",
    "flask_session": "quart_session",
    "flask_smorest": "quart_schema",
    "flask_sqlalchemy": "quart_sqlalchemy",
    "flask_uploads": "quart_uploads",
    "flask_wtf": "quart_wtforms",
    "sentry_sdk.integrations.flask": "sentry_sdk.integrations.quart",
}
# These run as they are if `import quart_flask_patch` is the first import of the app.
PATCHED = {"flask_limiter", "flask_login", "flask_sqlalchemy"}
# What to do instead, where nothing for Quart is known.
NONE = {
    "flask_admin": "mount it beside the app, as a Flask app of its own",
    "flask_appbuilder": "mount it beside the app, as a Flask app of its own",
    "flask_caching": "keep what is to be cached in a store of your own",
    "flask_debugtoolbar": "it shows Flask's requests only",
    "flask_mail": "send mail with aiosmtplib, or in a task",
    "flask_marshmallow": "use marshmallow itself",
    "flask_migrate": "use alembic itself",
    "flask_socketio": "use a WebSocket of Quart, or python-socketio's ASGIApp",
    "flask_talisman": "set the headers in `after_request`",
    "flask_testing": "use Quart's test client",
    "pytest_flask": "use Quart's test client",
    "webargs.flaskparser": "validate with quart_schema",
    "werkzeug.middleware.dispatcher": "it is for WSGI; Hypercorn has a dispatcher for ASGI",
    "werkzeug.middleware.proxy_fix": "it is for WSGI; Hypercorn has a ProxyFixMiddleware for ASGI",
    "opentelemetry.instrumentation.flask": "use opentelemetry.instrumentation.asgi",
}


def extension(name: str) -> str:
    """The extension that a dotted name belongs to, or ""."""
    for known in (*TWINS, *NONE):
        if name == known or name.startswith(f"{known}."):
            return known
    first = name.partition(".")[0]
    return first if first.startswith("flask_") else ""


def advice(name: str) -> str:
    """What to do about an extension, in a sentence."""
    twin = f"replace `{name}` with {TWINS[name]}" if name in TWINS else ""
    if name in PATCHED:
        return f"`{name}` runs if quart_flask_patch is imported first; or {twin}."
    if twin:
        return f"{twin[0].upper()}{twin[1:]}: it is made for Quart."
    if name in NONE:
        return f"`{name}` does not work with Quart: {NONE[name]}."
    return f"It is not known whether `{name}` works with Quart: try it with quart_flask_patch."
