"""The journal's file: one SQLite database, with one connection, used by one thread at a time.

WAL with `synchronous=FULL`: a commit is on the disk when it returns (https://sqlite.org/wal.html).
One connection writes and checkpoints, as a bug that loses commits (SQLite 3.7.0 to 3.51.2, "WAL
reset") needs two.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from .exceptions import JournalRefused

LOCK_SECONDS = 10.0  # to wait for the server before this one: a rolling restart
BUSY_SECONDS = 1.0  # to wait for somebody who looks at the file with another program
APPLICATION_ID = 0x51546B73  # "QTks", so that no other database is taken for a journal

# One statement a version; a file is brought from its `user_version` to the last, one by one.
MIGRATIONS: list[str] = [
    """
    CREATE TABLE tasks (
        id TEXT PRIMARY KEY,
        accepted BLOB NOT NULL, -- what was submitted, and never changes
        current BLOB NOT NULL -- what has become of it
    ) WITHOUT ROWID;
    CREATE TABLE results (id TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
    """,
]

# Rows a statement: one for most batches, and of few sizes, so that they stay prepared. Rows of NULL
# fill it up.
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
# Bytes of a row that goes by itself: a statement that stays prepared keeps its last values.
LARGE = 64 * 1024

Row = tuple[str, bytes, bytes]


class Batch:
    """What one transaction writes; of each task the last word."""

    def __init__(self) -> None:
        self.accepted: dict[str, tuple[bytes, bytes]] = {}
        self.current: dict[str, bytes] = {}
        self.results: dict[str, bytes] = {}
        self.forgotten: set[str] = set()

    def accept(self, id: str, accepted: bytes, current: bytes) -> None:
        self.accepted[id] = accepted, current

    def update(self, id: str, current: bytes, result: bytes | None = None) -> None:
        if id in self.accepted:
            self.accepted[id] = self.accepted[id][0], current
        else:
            self.current[id] = current
        if result is not None:
            self.results[id] = result

    def forget(self, id: str) -> None:
        self.accepted.pop(id, None)
        self.current.pop(id, None)
        self.results.pop(id, None)
        self.forgotten.add(id)


class Database:
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.given_up = False  # set while it is being opened, ends the wait for the lock
        self._files: dict[Path, tuple[int, int]] = {}  # device and inode of what is ours
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None

    # -- opening ---------------------------------------------------------------------------

    def open(self) -> None:
        """Take the lock and open the file, made or migrated where it must be.

        Raises JournalRefused: another server has it, it cannot be opened, is damaged, of a newer
        version, or no journal at all. It is not changed then.
        """
        try:
            self.path = self.path.resolve()  # a link must not have a lock of its own
            plain = self.path.is_file() or not self.path.exists()
        except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
            plain = False
        if not plain:
            raise JournalRefused(
                f"{str(self.path)!r} cannot be a journal: TASKS_JOURNAL must be the path of a "
                f"file, which is made if it is not there."
            )
        self._take_lock()
        try:
            self._check()
            self._connection = self._connect()
            self._migrate()
            for path in (self.path, Path(f"{self.path}.lock")):
                found = os.stat(path)
                self._files[path] = (found.st_dev, found.st_ino)
            self.probe()  # SQLite opens a file that may not be written without a word
        except sqlite3.OperationalError as error:
            self.close()
            todo = "look at the rights of the file and its directory, and at the room on the disk"
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                todo = "another program holds it; start again when that is done"
            raise JournalRefused(
                f"The journal {self.path} cannot be opened for writing ({error}): {todo}."
            ) from None
        except sqlite3.Error as error:
            self.close()
            raise JournalRefused(self._damaged(error)) from None
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> None:
        """Hold `<path>.lock` as long as this process lives; SQLite's own locks are only held
        while something is written."""
        name = f"{self.path}.lock"
        try:
            self._lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalRefused(
                f"The journal's lock {name} cannot be opened ({error.strerror}): TASKS_JOURNAL "
                f"must be a file in a directory that this process may write to."
            ) from None
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                # Not lockf(): a second app in this process must be refused as well.
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if self.given_up or time.monotonic() > until:
                    owner = os.pread(self._lock, 100, 0).decode(errors="replace").strip()
                    self.close()
                    raise JournalRefused(
                        f"The journal {self.path} is in use by another server ({owner}): stop "
                        f"that one, or give this one a TASKS_JOURNAL of its own."
                    ) from None
                time.sleep(0.05)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()}\n".encode(), 0)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _check(self) -> None:
        """Look before anything is written, through a connection that cannot write: the last one
        that can brings the WAL into the file when it closes, and so would change a damaged one."""
        if not self.path.exists():
            return
        name = f"file:{quote(str(self.path))}?mode=ro"
        with closing(sqlite3.connect(name, uri=True, timeout=BUSY_SECONDS)) as connection:
            execute = connection.execute
            (application,) = execute("PRAGMA application_id").fetchone()
            (version,) = execute("PRAGMA user_version").fetchone()
            (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
            (verdict,) = execute("PRAGMA quick_check(1)").fetchone()
        if tables and application != APPLICATION_ID:
            raise JournalRefused(
                f"{self.path} is a database, but no journal of quart_tasks: give TASKS_JOURNAL a "
                f"file of its own."
            )
        if version > len(MIGRATIONS):
            raise JournalRefused(
                f"The journal {self.path} is of version {version}, and this quart_tasks knows up "
                f"to {len(MIGRATIONS)}: upgrade quart_tasks, or give TASKS_JOURNAL another file."
            )
        if verdict != "ok":
            raise JournalRefused(self._damaged(verdict))

    def _migrate(self) -> None:
        connection = self._open()
        connection.execute("PRAGMA journal_mode = WAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            with _transaction(connection):
                for statement in filter(str.strip, statements.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number}")

    def _damaged(self, why: object) -> str:
        return (
            f"The journal {self.path} cannot be read ({why}). It is left as it is: move it away to "
            f"start with an empty one, or put a copy of it in its place; `sqlite3 {self.path} "
            f".recover` may still get tasks out of it."
        )

    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101 - `open` was called
        return self._connection

    def close(self) -> None:
        """Let go of the file and the lock."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- reading and writing ---------------------------------------------------------------

    def rows(self, after: str, most: int) -> list[Row]:
        """The next tasks in the order of their ids."""
        query = "SELECT id, accepted, current FROM tasks WHERE id > ? ORDER BY id LIMIT ?"
        return self._open().execute(query, (after, most)).fetchall()

    def results(self, ids: list[str]) -> dict[str, bytes]:
        marks = ",".join("?" * len(ids))
        query = f"SELECT id, data FROM results WHERE id IN ({marks})"
        return dict(self._open().execute(query, ids))

    def write(self, batch: Batch) -> None:
        """Commit a batch. Raises sqlite3.Error, and has written nothing then."""
        self._make_sure()
        connection = self._open()
        statements = list(_statements(batch))
        if len(statements) == 1 and not connection.in_transaction:  # it is one of its own
            connection.execute(*statements[0])
        else:
            with _transaction(connection):
                for statement, values in statements:
                    connection.execute(statement, values)

    def _make_sure(self) -> None:
        """Raises sqlite3.OperationalError if another file, or none, has our names by now: SQLite
        would write on into one that nobody finds again."""
        for path, ours in self._files.items():
            try:
                found = os.stat(path)
            except OSError as error:
                raise sqlite3.OperationalError(f"{path}: {error.strerror}") from None
            if (found.st_dev, found.st_ino) != ours:
                raise sqlite3.OperationalError(f"{path} was replaced by another file")

    def probe(self) -> None:
        """Find out whether a commit is possible. Raises sqlite3.Error."""
        self._make_sure()
        connection = self._open()
        with _transaction(connection):
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


class _transaction:
    """Commit what is done inside, or none of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        if self._connection.in_transaction:  # even the last one's roll-back has failed
            self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
                return
            except BaseException:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # SQLite may have done so itself, as when the disk is full
            self._connection.execute("ROLLBACK")


def _statements(batch: Batch) -> Iterator[tuple[str, list[object]]]:
    """Few, for any number of rows: at each, Python's sqlite3 gives the GIL up three times or more,
    and takes it back from a loop that may be busy. 100 rows took 277 ms beside one by
    `executemany`, and 11 ms as one statement."""
    rows: list[tuple[str | bytes, ...]] = [(id, *values) for id, values in batch.accepted.items()]
    # An update of what is there: the empty value is never written.
    rows += [(id, b"", current) for id, current in batch.current.items()]
    for values, count in _chunks(rows):
        yield _put("tasks", ("id", "accepted", "current"), count), values
    for values, count in _chunks(list(batch.results.items())):
        yield _put("results", ("id", "data"), count), values
    for values, count in _chunks([(id,) for id in batch.forgotten]):
        marks = ",".join("?" * count)
        for table in ("tasks", "results"):
            yield f"DELETE FROM {table} WHERE id IN ({marks})", values


@cache
def _put(table: str, columns: tuple[str, ...], count: int) -> str:
    """Insert rows; of those that are there, change the last column. (New tasks, whose ids are new,
    never are.)"""
    rows = ",".join([f"({','.join('?' * len(columns))})"] * count)
    last = columns[-1]
    return (
        f"INSERT INTO {table} ({','.join(columns)}) "
        f"SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL "
        f"ON CONFLICT (id) DO UPDATE SET {last} = excluded.{last}"
    )


def _chunks(rows: list[tuple[str | bytes, ...]]) -> Iterator[tuple[list[object], int]]:
    """The values that go into one statement, and of how many rows it is."""
    small = []
    for row in rows:
        if sum(map(len, row)) < LARGE:
            small.append(row)
        else:
            yield list(row), 1
    for chunk in (small[at : at + SIZES[-1]] for at in range(0, len(small), SIZES[-1])):
        size = SIZES[bisect_left(SIZES, len(chunk))]
        values: list[object] = list(chain.from_iterable(chunk))
        values += [None] * (size * len(chunk[0]) - len(values))
        yield values, size
