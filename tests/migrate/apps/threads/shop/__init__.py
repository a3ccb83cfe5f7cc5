from flask import Flask

from .mails import mails
from .orders import orders


def create_app(**config):
    app = Flask(__name__)
    app.config["SHOP_NAME"] = "Corner shop"
    app.config["OUTBOX"] = "outbox.txt"
    app.config.update(config)
    app.register_blueprint(orders, url_prefix="/orders")
    app.register_blueprint(mails)
    return app
