"""Measure: each question beside a limit and its peers, in the same run and by turns."""

import argparse
import sys
import textwrap
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import msgspec

from . import against, peers
from .common import Result, machine, versions
from .table import COLUMNS, aims, markdown, missing

# Each is a module here with `run(quick) -> list[Result]`, imported when it is asked: what one
# needs (a peer, a part of the package that older revisions lack) must not stop the others.
QUESTIONS = [
    "inprocess",
    "accept",
    "background",
    "stream",
    "progress",
    "slowhttp",
    "listing",
    "latency",
    "migrate",
    "cost",
    "cpu",
    "hardcancel",
    "crash",
    "killed",
    "shutdown",
    "lag",
    "fanout",
    "sockets",
    "overload",
    "durable",
    "restart",
    "roundtrip",
    "page",
    "start",
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=QUESTIONS, metavar="NAME",
        help=f"this question; repeat for more. All: {', '.join(QUESTIONS)}",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer repeats: a rough figure")
    parser.add_argument("--json", action="store_true", help="one document, for machines")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write a PNG of each question")
    parser.add_argument("--no-peers", action="store_true", help="only ours and the limits")
    parser.add_argument(
        "--against", metavar="REV",
        help="instead compare with the package of another git revision, in short turns; exit code "
        f"1 if it was quicker. Without --only: {', '.join(against.QUESTIONS)}",
    )  # fmt: skip
    options = parser.parse_args()
    if options.plots and not find_spec("matplotlib"):
        parser.error("--plots needs matplotlib: pip install 'quart-tasks-server[bench]'")
    if options.against and (options.json or options.plots):
        parser.error("--against prints a table only: leave out --json and --plots")
    return options


def main() -> int:
    options = arguments()
    if options.against:
        return against.main(options.against, options.only, options.quick)
    peers.wanted = not options.no_peers
    about = "\n".join(
        textwrap.fill(", ".join(f"{key} {value}" for key, value in each.items()), COLUMNS)
        for each in (machine(), versions())
    )
    if not options.json:
        print(about, end="\n\n")
    results: list[Result] = []
    sentences = []
    for name in options.only or QUESTIONS:
        try:
            answers = import_module(f".{name}", __package__).run(options.quick)
        except Exception:  # noqa: BLE001 - the others' figures, an hour's work, are not to be lost
            traceback.print_exc()
            sentences.append(f"{name}: it failed, see above")
            continue
        results += answers
        if not options.json:
            print(*map(markdown, answers), sep="\n", flush=True)
        if options.plots:
            save(name, answers, about, options.plots)
    if not options.json:
        print(aims(results), end="\n\n")
    if options.json:
        document = {"machine": machine(), "versions": versions(), "results": results}
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    for sentence in sentences + missing(results):
        print("missing:", sentence, file=sys.stderr if options.json else sys.stdout)
    return 1 if sentences else 0


def save(name: str, answers: list[Result], about: str, folder: Path) -> None:
    from . import plots  # matplotlib takes a second to import, and may be missing

    folder.mkdir(parents=True, exist_ok=True)
    print(f"written: {plots.save(name, answers, about, folder)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
