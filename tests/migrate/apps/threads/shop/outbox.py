"""Where mails go to."""

import threading

from flask import current_app

writing = threading.Lock()


def write(line):
    with writing, open(current_app.config["OUTBOX"], "a") as file:
        file.write(f"{current_app.config['SHOP_NAME']}: {line}\n")
