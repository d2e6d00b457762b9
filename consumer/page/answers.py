"""Answers questions: a few queries at a time, each within a limit of time and memory; answers are kept by version. I/O."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from tempfile import TemporaryDirectory
from threading import BoundedSemaphore, Event, Lock, Thread
from typing import Any

import duckdb

from consumer.components.filters import EVERYTHING, Filters
from consumer.page import figures, lists, request_rows, suspicious
from consumer.page.compared import beside
from consumer.page.figures import granularity
from consumer.page.panel import Answer, Panel, Rows
from consumer.page.question import Question
from consumer.page.reader import LakeReader
from consumer.page.rollups import Rollups
from consumer.page.versions import LakeVersion, OpenTables
from lakehouse.errors import PipelineError
from lakehouse.settings import Settings

INTERRUPT_SECONDS = 0.05
KEPT_ANSWERS = 500
KEPT_ROWS = 2_000  # of one answer; longer ones are not kept
PANELS: dict[str, Panel] = {
    panel.name: panel for panel in (*figures.panels(), *lists.lists(), suspicious.PANEL, request_rows.PANEL)
}
WHOLE = ("now", "over_time", "weekdays")  # all their rows, whatever limit is asked for


class Answers:
    """What the page knows of one lake. One of these serves all threads."""

    def __init__(self, settings: Settings, tables: OpenTables | None = None) -> None:
        self.settings = settings
        self.tables = tables or OpenTables(settings)
        cores = len(os.sched_getaffinity(0))
        self._slots = BoundedSemaphore(cores)
        self._spill = TemporaryDirectory(prefix="duckdb-")
        self._database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": settings.page.memory, "temp_directory": self._spill.name, "threads": cores,
                "preserve_insertion_order": "false", "autoinstall_known_extensions": "false",
            },
        )  # fmt: skip
        self._rollups = Rollups()
        self._lock = Lock()
        self._kept: OrderedDict[Any, Answer] = OrderedDict()

    def close(self) -> None:
        """Give back memory and temporary files."""
        self._database.close()
        self._spill.cleanup()

    def names(self, version: LakeVersion) -> list[str]:
        """The panels that this lake has."""
        has_country = version.counted_as is not None and version.counted_as.has_country
        return [name for name in PANELS if name != "countries" or has_country]

    def ask(self, names: Sequence[str], question: Question) -> tuple[LakeVersion, dict[str, Answer]]:
        """Answers of several panels, all from one version of the lake.

        A file that maintenance has removed under a query is no error: all is read again, once, from a newer version.

        :param names: of ``PANELS``.
        :raises QuestionError: a panel cannot be searched or sorted so.
        :raises PipelineError: a table cannot be read.
        """
        version = self.tables.version()
        try:
            return version, self._answers(version, names, question)
        except PipelineError as error:
            if not isinstance(error.__cause__, duckdb.IOException):
                raise
        version = self.tables.version(is_forced=True)
        return version, self._answers(version, names, question)

    def compared(self, version: LakeVersion, question: Question) -> Answer | None:
        """The headline figures of the days that the question compares with, from the same version."""
        before = question.previous()
        return None if before is None else self._answers(version, ["now"], before)["now"]

    def _answers(self, version: LakeVersion, names: Sequence[str], question: Question) -> dict[str, Answer]:
        found, before = self._read(version, names, question), question.previous()
        if "over_time" in names and before is not None:
            by = granularity(question, version.days)
            earlier = replace(before, by="hour" if by == "hour" else "day", sort="")
            shift = (question.filters.first or date.min) - (before.filters.first or date.min)
            then = self._read(version, ["over_time"], earlier)["over_time"]
            found["over_time"] = beside(found["over_time"], then, question, by, shift)
        return found

    def _read(self, version: LakeVersion, names: Sequence[str], question: Question) -> dict[str, Answer]:
        asked = {name: _own(name, version, question) for name in names}
        keys = {name: (version.name, name, asked[name]) for name in names}
        with self._lock:
            found = {name: self._kept[key] for name, key in keys.items() if key in self._kept}
        missing = [name for name in names if name not in found]
        if missing:
            with self.reader(version, question.filters, question.zone) as reader:
                found |= {name: self._answer(reader, PANELS[name], asked[name]) for name in missing}
            self._keep({keys[name]: found[name] for name in missing})
        return {name: found[name] for name in names}

    @contextmanager
    def reader(self, version: LakeVersion, filters: Filters = EVERYTHING, zone: str = "UTC") -> Iterator[LakeReader]:
        """A reader of this version, when one of those that may read at once is done."""
        with self._slots, self._database.cursor() as connection:
            reader = LakeReader(connection, self.settings.lake, version, filters, zone, self._rollups)
            try:
                yield reader
            finally:
                reader.close()

    def _answer(self, reader: LakeReader, panel: Panel, question: Question) -> Answer:
        delta = reader.version.delta
        at = None if delta is None else delta.committed_at
        answer = Answer(panel, Rows(), None if delta is None else delta.version, at)
        limit = self.settings.page.query_seconds
        with _time_limit(reader.connection, limit) as is_over:
            try:
                return replace(answer, found=panel.read(reader, question))
            except (PipelineError, duckdb.Error) as error:
                if is_over.is_set():
                    return replace(answer, problem=f"this took more than {limit:g} s; choose a shorter range")
                if isinstance(error.__cause__, duckdb.OutOfMemoryException):
                    return replace(
                        answer, problem="this took more memory than page.memory allows; choose a shorter range"
                    )
                raise

    def _keep(self, answers: dict[Any, Answer]) -> None:
        with self._lock:
            for key, answer in answers.items():
                if not answer.problem and len(answer.found.rows) <= KEPT_ROWS:
                    self._kept[key] = answer
            while len(self._kept) > KEPT_ANSWERS:
                self._kept.popitem(last=False)


def _own(name: str, version: LakeVersion, question: Question) -> Question:
    """The question as far as a panel depends on it: what is equal then, is answered once."""
    own = replace(question, range_name="", has_zone=False, compare="none", by=None)
    if name not in WHOLE:
        return own
    own = replace(own, limit=None, offset=0)
    if name != "over_time":
        return own
    is_compared = question.previous() is not None  # sorted when both are there
    return replace(own, by=granularity(question, version.days), sort="" if is_compared else question.sort)


@contextmanager
def _time_limit(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[Event]:
    """Interrupt the connection's queries from then on; the event says that there is no time left."""
    is_over, is_done = Event(), Event()

    def watch() -> None:
        # Again and again: an interruption between two queries is forgotten.
        wait = seconds
        while not is_done.wait(wait):
            is_over.set()
            with suppress(duckdb.Error):
                connection.interrupt()
            wait = INTERRUPT_SECONDS

    watching = Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield is_over
    finally:
        is_done.set()
        watching.join()
