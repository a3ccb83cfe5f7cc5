"""`python -m benchmarks [--only NAME]… [--quick] [--json]`."""

import argparse
import sys
from collections.abc import Callable

import msgspec

from . import (
    accept,
    background,
    crash,
    durable,
    fanout,
    flat,
    hardcancel,
    inprocess,
    killed,
    lag,
    latency,
    listing,
    memory,
    migrate,
    overload,
    restart,
    shutdown,
    sockets,
    stream,
)
from .common import Result, line, machine

QUESTIONS: dict[str, Callable[[bool], list[Result]]] = {
    "inprocess": inprocess.run,
    "accept": accept.run,
    "background": background.run,
    "stream": stream.run,
    "listing": listing.run,
    "latency": latency.run,
    "memory": memory.run,
    "migrate": migrate.run,
    "flat": flat.run,
    "hardcancel": hardcancel.run,
    "crash": crash.run,
    "killed": killed.run,
    "shutdown": shutdown.run,
    "lag": lag.run,
    "fanout": fanout.run,
    "sockets": sockets.run,
    "overload": overload.run,
    "durable": durable.run,
    "restart": restart.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=QUESTIONS, help="repeat for more")
    parser.add_argument("--quick", action="store_true", help="fewer repeats: a rough figure")
    parser.add_argument("--json", action="store_true", help="one document, for machines")
    options = parser.parse_args()
    about = machine()
    if not options.json:
        print(", ".join(f"{key} {value}" for key, value in about.items()), end="\n\n")
    results: list[Result] = []
    for name in options.only or QUESTIONS:
        answers = QUESTIONS[name](options.quick)
        results += answers
        if not options.json:
            print(*map(line, answers), sep="\n", flush=True)
    if options.json:
        document = {"machine": about, "results": results}
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")


if __name__ == "__main__":
    main()
