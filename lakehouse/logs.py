"""Logging for the three programs: one file for each, rotated, and the terminal. Entry points call ``configure``."""

import logging
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
MAX_BYTES = 10_000_000
BACKUPS = 5


def printable(text: object) -> str:
    r"""``text`` with every character that could act on a terminal or forge a log line written as ``\xNN`` or ``\uNNNN``.

    Control, format (right-to-left marks), surrogate and separator characters other than the blank are escaped.
    """
    as_text = str(text)
    if as_text.isprintable():
        return as_text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in as_text
    )


class SafeFormatter(logging.Formatter):
    """A formatter whose records are one line each, whatever a log brought in; only tracebacks keep their lines.

    Times are in UTC, with the offset: as in the lines of jobs (``ledger.now_text``) and of the JVM (``log4j2.properties``).
    """

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Format the record's time in ISO 8601."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Format the record's first line with its message escaped."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """Format a traceback, each of its lines escaped."""
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))


def configure(program: str, log_file: Path | None) -> None:
    """Send the program's log to standard error and, rotated, to ``log_file``.

    :param program: the logger's name, e.g. ``producer``.
    :param log_file: made with its folders; ``None`` for the terminal alone.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(RotatingFileHandler(log_file, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(SafeFormatter(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    for name in (program, "lakehouse"):
        logging.getLogger(name).setLevel(logging.INFO)
