import logging
from threading import Thread

from flask import Blueprint, current_app, jsonify, request
from flask.views import MethodView

from .outbox import write

orders = Blueprint("orders", __name__)
log = logging.getLogger(__name__)


def confirm(app, order, to=None):
    with app.app_context():
        # Only here is there a configuration.
        write(f"order {order} for {to or app.config['SHOP_NAME']}")


def pack(order, count):
    for number in range(count):
        log.info("packing %s of order %s", number + 1, order)


class Orders(MethodView):
    def post(self):
        order = request.get_json()
        thr = Thread(
            target=confirm,
            args=(current_app._get_current_object(), order["number"]),
            kwargs={"to": order.get("to")},
        )
        thr.daemon = True
        thr.start()
        Thread(target=pack, args=[order["number"], 3], daemon=True).start()
        return jsonify(number=order["number"]), 201


orders.add_url_rule("/", view_func=Orders.as_view("orders"))
