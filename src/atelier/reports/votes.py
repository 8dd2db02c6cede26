"""People's votes on pairs of pictures: kept in SQLite, copied to a CSV for the comparison.

The database stands beside ``params.yaml``, not below ``results/``, as nothing can make votes again.
DVC cannot track it, since its bytes depend on more than the votes; it tracks the copy.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock

from atelier.core.config import UserError
from atelier.core.files import atomic
from atelier.core.paths import VOTES, Results
from atelier.metrics.catalogue import QUESTIONS

Answer = Literal["left", "right", "equal"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
PATIENCE = 30.0
"""Seconds to wait for another voter's write, which takes milliseconds."""


@dataclass(frozen=True)
class Vote:
    """An answer to one question about the pictures of two methods; all fields are text."""

    time: str
    """ISO 8601, UTC."""
    voter: str
    """Name or pseudonym, as entered."""
    question: str
    """A key of ``catalogue.QUESTIONS``."""
    photo: str
    """Stem of the test photograph."""
    left: str
    """Method whose picture was on the left."""
    right: str
    answer: str
    """One of ``ANSWERS``."""
    data: str
    """Digest of the prepared data set."""
    left_pictures: str
    """Digest of the left method's pictures."""
    right_pictures: str

    @property
    def pair(self) -> frozenset[str]:
        """The two methods."""
        return frozenset((self.left, self.right))

    def answered(self, answer: Answer) -> Vote:
        """Return the vote with this answer, given now."""
        return replace(self, answer=answer, time=datetime.now(UTC).isoformat(timespec="seconds"))

    def check(self) -> Vote:
        """Return the vote itself.

        Raises:
            ValueError: an unknown question or answer, or a method against itself.
        """
        if self.question not in QUESTIONS or self.answer not in ANSWERS or self.left == self.right:
            raise ValueError(f"{self.question!r}, {self.left!r}, {self.right!r}, {self.answer!r}")
        return self


COLUMNS = tuple(field.name for field in fields(Vote))
# Named, since `left` and `right` are words of SQL. A voter judges a pair on a photograph once,
# whichever side they were on; new pictures are another pair.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS votes ({", ".join(f'"{name}" TEXT NOT NULL' for name in COLUMNS)});
CREATE UNIQUE INDEX IF NOT EXISTS once ON votes (
    voter, question, photo, data,
    min("left" || ' ' || left_pictures, "right" || ' ' || right_pictures),
    max("left" || ' ' || left_pictures, "right" || ' ' || right_pictures)
);
"""
_ALL = ", ".join(f'"{name}"' for name in COLUMNS)


def add(root: Path, vote: Vote) -> bool:
    """Store a vote in one transaction and renew the copy; safe with several voters at once.

    Returns:
        False if this voter has answered this before; nothing is changed then.

    Raises:
        UserError: the database cannot be written.
        ValueError: see ``Vote.check``.
    """
    places = ", ".join("?" for _ in COLUMNS)
    insert = f"INSERT OR IGNORE INTO votes ({_ALL}) VALUES ({places})"  # noqa: S608 - constants
    with _opened(root) as db, db:
        new = db.execute(insert, astuple(vote.check())).rowcount == 1
    export(root)
    return new


def withdraw(root: Path, vote: Vote) -> None:
    """Remove a vote and renew the copy.

    Raises:
        UserError: the database cannot be written.
    """
    same = " AND ".join(f'"{name}" = ?' for name in COLUMNS)
    with _opened(root) as db, db:
        db.execute(f"DELETE FROM votes WHERE {same}", astuple(vote))  # noqa: S608 - constants
    export(root)


def stored(root: Path) -> list[Vote]:
    """Return all votes of the database, in the order in which they came; [] without a database.

    Raises:
        UserError: the database cannot be read.
    """
    if not (root / VOTES).exists():
        return []
    with _opened(root) as db:
        rows = db.execute(f"SELECT {_ALL} FROM votes ORDER BY rowid").fetchall()  # noqa: S608
    return [Vote(*row) for row in rows]


@contextmanager
def _opened(root: Path) -> Iterator[sqlite3.Connection]:
    path = root / VOTES
    try:
        # No write-ahead log: SQLite does not wait where two would switch a new file to it at once,
        # and it is not for network drives. Readers wait for a commit alone, as it is.
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as db:
            db.executescript(_SCHEMA)
            yield db
    except sqlite3.Error as error:
        reason = f"{path}: the votes cannot be read or written ({error})"
        raise UserError(f"{reason}; check the disk and the file's rights") from None


def export(root: Path) -> None:
    """Copy the database to ``results/votes/votes.csv``, atomically; nothing without a database.

    Raises:
        UserError: the database cannot be read, or the copy not be written.
    """
    if not (root / VOTES).exists():
        return
    path = Results(root).votes
    try:
        with FileLock(root / f"{VOTES}.lock", timeout=PATIENCE), atomic(path) as part:
            text = to_csv(stored(root))  # behind the lock: the last to write has read all
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}); the votes are in {VOTES}") from None


def to_csv(votes: Sequence[Vote]) -> str:
    """Return the votes as CSV with a header, one per line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(vote) for vote in votes)
    return text.getvalue()


def read(root: Path) -> tuple[Vote, ...]:
    """Return the votes of the copy, which the comparison depends on; () without one.

    Raises:
        UserError: the file is not such a copy; names the line.
    """
    path = Results(root).votes
    if not path.exists():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(_rows(file))
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: {error}; `atelier votes` writes it again") from None


def _rows(file: Iterator[str]) -> Iterator[Vote]:
    reader = csv.reader(file)
    if next(reader, None) != list(COLUMNS):
        raise ValueError(f"line 1: not the columns {', '.join(COLUMNS)}")
    for row in reader:
        try:
            yield Vote(*row).check()
        except (TypeError, ValueError):
            raise ValueError(f"line {reader.line_num}: is not a vote") from None
