"""A newsroom: articles are imported, checked, mailed and summed up, all of it slowly."""

import os

from flask import Flask, jsonify

from .extensions import celery, init_celery


def create_app(config=None):
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY="newsroom",
        DATA=os.environ.get("NEWSROOM_DATA", "."),
        CELERY={
            "broker_url": os.environ.get("BROKER", "redis://localhost:6379/0"),
            "result_backend": os.environ.get("BACKEND", "redis://localhost:6379/0"),
        },
    )
    app.config.update(config or {})
    init_celery(app, celery)

    from .views import articles, background, jobs, longtasks

    app.register_blueprint(articles.bp, url_prefix="/articles")
    app.register_blueprint(jobs.bp, url_prefix="/jobs")
    app.register_blueprint(longtasks.bp)
    app.register_blueprint(background.bp)

    @app.errorhandler(404)
    def not_found(error):
        return jsonify(error="not found"), 404

    @app.after_request
    def name_it(response):
        response.headers["X-Newsroom"] = app.name
        return response

    return app
