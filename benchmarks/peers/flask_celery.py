"""Flask on gunicorn with threads, and Celery with one worker and Redis or RabbitMQ.

Without `results` none is kept, which spares Celery two round trips a task. Redis has its stock
persistence, a snapshot now and then; RabbitMQ's queue is durable and its messages are persistent.
"""

# mypy: ignore-errors
# What it imports has no types, and may be missing where they are checked.

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from celery import Celery
from flask import Flask
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import ConnectionError as NotYet

from . import free_port
from .processes import gunicorn, start, until_stdin_ends, wait_for

# Variables with the URLs, for the processes of gunicorn and the worker.
BROKER, BACKEND = "BENCHMARK_BROKER", "BENCHMARK_BACKEND"
# Debian's `rabbitmq-server` on the path changes to another user.
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"

app = Flask(__name__)
celery = Celery(__name__, broker=os.environ.get(BROKER), backend=os.environ.get(BACKEND))
celery.conf.update(
    task_ignore_result=BACKEND not in os.environ, broker_connection_retry_on_startup=True
)


@celery.task
def nothing() -> None:
    pass


@app.post("/tasks")
def create() -> tuple[dict[str, str], int]:
    return {"id": nothing.delay().id}, 202


@app.post("/forget")
def forget() -> tuple[str, int]:
    celery.control.purge()
    return "", 204


def main(broker: str, results: str = "") -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        url = BROKERS[broker](stack, folder)
        os.environ |= {BROKER: url} | ({BACKEND: url} if results else {})
        celery.conf.broker_url = url
        wait_for(lambda: celery.connection().ensure_connection(max_retries=1), OperationalError)
        start(
            stack, sys.executable, "-m", "celery", f"--app={__spec__.name}:celery", "worker",
            "--concurrency=1", "--loglevel=error",
        )  # fmt: skip
        wait_for(celery.control.ping)
        until_stdin_ends(gunicorn(stack, f"{__spec__.name}:app"))


def redis(stack: ExitStack, folder: str) -> str:
    port = free_port()
    start(stack, "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder)
    wait_for(Redis(port=int(port)).ping, NotYet)
    return f"redis://127.0.0.1:{port}/0"


def rabbitmq(stack: ExitStack, folder: str) -> str:
    """A node of its own, all of it in the folder and on this machine's own address."""
    server = RABBITMQ if Path(RABBITMQ).exists() else shutil.which("rabbitmq-server")
    if server is None:
        sys.exit("There is no rabbitmq-server on the path: install it (apt, brew).")
    port, node_port, names_port = free_port(), free_port(), free_port()
    names = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": names_port}
    # Erlang's name server, which a node would else start as a daemon, and leave behind.
    start(stack, shutil.which("epmd") or "epmd", variables=names)
    start(
        stack, server,
        variables=names | {
            "HOME": folder,  # of the node's secret
            "RABBITMQ_NODENAME": "benchmark@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": node_port,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        },
    )  # fmt: skip
    return f"amqp://guest:guest@127.0.0.1:{port}//"


BROKERS = {"redis": redis, "rabbitmq": rabbitmq}


if __name__ == "__main__":
    main(*sys.argv[1:])
