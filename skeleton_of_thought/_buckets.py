"""What was let through in the last minute: in memory, or in an SQLite file that processes share.

The counts themselves are pyrate-limiter's. Added is that several limits are taken together or not at all:
each is asked before any is taken, and for that time a file belongs to one process.
"""

import contextlib
import math
import os
import sqlite3
import weakref
from pathlib import Path
from typing import TypeAlias

from .errors import ConfigurationError

try:
    from filelock import FileLock
    from pyrate_limiter import InMemoryBucket, Rate, RateItem, SQLiteBucket, SQLiteQueries
except ImportError as error:
    raise ImportError('RateLimit needs pyrate-limiter: pip install "skeleton-of-thought[limits]"') from error

_Bucket: TypeAlias = InMemoryBucket | SQLiteBucket

_STEPS = 1000
"""In how many steps a limit is counted, at most: a bucket keeps an entry for each step that was taken."""
_BUSY = 0.005
"""Seconds until a file is tried again that another process holds, which it does for less than one of them."""
_PATIENCE = 5.0
"""Seconds to wait for a file when it is opened."""


class Counts:
    """What was taken of each limit. For one thread at a time.

    Args:
        limits: how much of what may be taken in a period.
        milliseconds: the period.
        path: the file that others take from too; ``None`` for memory.

    Raises:
        ConfigurationError: the file cannot be used.
    """

    def __init__(self, limits: dict[str, int], milliseconds: int, path: Path | None) -> None:
        self._milliseconds = milliseconds
        self._file = None if path is None else FileLock(f"{path}.lock", timeout=_PATIENCE)
        try:
            with self._file or contextlib.nullcontext():
                self._shares = {name: _Share(name, most, milliseconds, path) for name, most in limits.items()}
        except (OSError, sqlite3.Error) as error:
            cure = "name a file of its own, in a folder that may be written"
            raise ConfigurationError(f"path={str(path)!r} cannot keep the counts ({error}): {cure}") from error
        self._leak_at = 0
        weakref.finalize(self, _close, os.getpid(), [share.bucket for share in self._shares.values()])

    def take(self, amounts: dict[str, int]) -> float:
        """Take all of *amounts* and return 0; or take nothing, and return the seconds until another try is worth it."""
        try:
            with self._file.acquire(timeout=0) if self._file else contextlib.nullcontext():
                return self._take([(share, amounts[name]) for name, share in self._shares.items()])
        except TimeoutError:
            return _BUSY

    def _take(self, wanted: "list[tuple[_Share, int]]") -> float:
        now: int = wanted[0][0].bucket.now()  # type: ignore[no-untyped-call]  # that of SQLiteBucket
        if wait := max(share.milliseconds_until(amount, now) for share, amount in wanted):
            return wait / 1000
        for share, amount in wanted:
            share.take(amount, now)
        if now >= self._leak_at:  # what has left the window may leave the bucket, now and then
            self._leak_at = now + self._milliseconds
            for share, _ in wanted:
                share.bucket.leak(now)
        return 0


class _Share:
    """One limit, counted in steps. What a request pays more than it takes is left for the next one."""

    def __init__(self, name: str, most: int, milliseconds: int, path: Path | None) -> None:
        self._step = math.ceil(most / _STEPS)
        self._steps = most // self._step - (self._step > 1)  # one less, for what may be left from an earlier window
        self._milliseconds = milliseconds
        self._left = 0
        table = f"{name}_{self._step}_{milliseconds}"  # numbers that are counted in other steps are not mixed up
        self.bucket = _open(Rate(self._steps, milliseconds), table, path)

    def _due(self, amount: int) -> int:
        return min(self._steps, math.ceil(max(0, amount - self._left) / self._step))

    def milliseconds_until(self, amount: int, now: int) -> int:
        """Return how long it takes until *amount* is free."""
        last = self.bucket.peek(self._steps - self._due(amount))  # the newest that has to be out of the window
        return 0 if last is None else max(0, last.timestamp + self._milliseconds + 1 - now)

    def take(self, amount: int, now: int) -> None:
        """Take *amount*, which is free."""
        if due := self._due(amount):
            taken = self.bucket.put(RateItem("", now, weight=due))
            assert taken
        self._left = max(0, self._left + due * self._step - amount)


def _open(rate: Rate, table: str, path: Path | None) -> _Bucket:
    if path is None:
        return InMemoryBucket([rate])
    commands = (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=NORMAL",
        SQLiteQueries.CREATE_BUCKET_TABLE.format(table=table),
        SQLiteQueries.CREATE_INDEX_ON_TIMESTAMP.format(index_name=f"{table}_by_time", table_name=table),
    )
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        for command in commands:
            connection.execute(command).close()
    except sqlite3.Error:
        connection.close()
        raise
    return SQLiteBucket([rate], connection, table)


def _close(process: int, buckets: list[_Bucket]) -> None:
    if process == os.getpid():  # what a forked child has are its parent's
        for bucket in buckets:
            bucket.close()
