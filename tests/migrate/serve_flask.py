"""Serve a Flask app on a free port: `serve_flask.py MODULE:APP`. If it has Celery tasks, a worker
runs beside it in this process."""

import importlib
import sys
import threading

from werkzeug.serving import make_server


def start_worker() -> None:
    from celery import current_app  # type: ignore[import-untyped]
    from celery.concurrency.thread import TaskPool  # type: ignore[import-untyped]

    TaskPool.task_join_will_block = False  # or views, which are no tasks, could wait for none

    current_app.conf.update(
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        broker_transport_options={"polling_interval": 0.05},
    )
    worker = current_app.Worker(pool="threads", concurrency=2, quiet=True)
    threading.Thread(target=worker.start, daemon=True).start()


def main() -> None:
    sys.path.insert(0, "")
    module, _, name = sys.argv[1].partition(":")
    app = getattr(importlib.import_module(module), name)
    if "celery" in sys.modules:
        start_worker()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"Serving on http://127.0.0.1:{server.port} now", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
