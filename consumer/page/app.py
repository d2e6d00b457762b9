"""The page's addresses: each question in, an answer as HTML, JSON or CSV out. I/O."""

import json
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from consumer.components.day_panels import days
from consumer.components.filters import EVERYTHING
from consumer.page.answers import PANELS, Answers
from consumer.page.cells import as_csv, plain
from consumer.page.guard import Guard
from consumer.page.local_days import iso_text
from consumer.page.panel import Answer, Column
from consumer.page.pipeline import pipeline
from consumer.page.question import Question, QuestionError, asked, unknown
from consumer.page.reader import LakeReader
from consumer.page.recent import Recent
from consumer.page.versions import LakeVersion
from consumer.page.views import LIST_ROWS, SHOWN_ROWS, Overview, Views, default_range, lists_of
from lakehouse.errors import PipelineError
from lakehouse.lake import waiting_files
from lakehouse.logs import printable
from lakehouse.readable import counted_text
from lakehouse.settings import Settings

STATIC = Path(__file__).with_name("static")
IN_MEMORY = 1_000_000  # bytes of an export; a longer one goes to a temporary file
PIPELINE_COLUMNS = (Column("what", "What", "text"), Column("rows", "Rows"))


def application(settings: Settings) -> ASGIApp:
    """The page of one lake, as an ASGI application."""
    page = Site(settings)
    routes = [
        Route("/", page.overview, name="overview"),
        Route("/panels/{panel}", page.list_page),
        Route("/requests", page.requests),
        Route("/pipeline", page.pipeline),
        Route("/api", page.index),
        Route("/api/live", page.live),
        Route("/api/{panel}", page.api),
        Route("/export/{panel}.csv", page.export),
        Route("/metrics", page.metrics),
        Route("/healthz", page.health),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> Any:
        yield
        page.answers.close()

    handlers: Any = {QuestionError: page.wrong_question, PipelineError: page.unreadable, HTTPException: page.not_there}
    # Outermost: a fault of the program's own is answered with the same headers.
    return Guard(Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan), settings.page.token)


class Site:
    """What answers at each address. Starlette runs these in threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.answers = Answers(settings)
        self.views = Views()
        self._recent = Recent(settings.lake)

    def overview(self, request: Request) -> Response:
        """The first page."""
        return HTMLResponse(self.views.overview(self.first_page(request.query_params.multi_items())))

    def first_page(self, pairs: list[tuple[str, str]]) -> Overview:
        """What the first page shows: headline figures, the chart, and the beginning of each list, all of one version."""
        version = self.answers.tables.version()
        question = self._question(pairs)
        if not any(name in ("from", "to", "range") and value for name, value in pairs):
            default = default_range(version, datetime.now(UTC), question.zone)
            filters = replace(question.filters, first=default.filters.first, last=default.filters.last)
            question = replace(question, filters=filters, range_name=default.range_name)
        return self.about(question)

    def about(self, question: Question) -> Overview:
        """The first page for a question."""
        question = question.without_list()
        version = self.answers.tables.version()
        names = [
            name
            for name in ("now", "over_time", "weekdays", *lists_of(question, version))
            if name in self.answers.names(version)
        ]
        if version.delta is None:
            names = []
        version, answers = self.answers.ask(names, replace(question, limit=SHOWN_ROWS))
        before = self.answers.compared(version, question) if names else None
        live = self._live(version, question.zone)
        return Overview(question, version, answers, before, live, self._waiting(version))

    def list_page(self, request: Request) -> Response:
        """All rows of a list, searched, sorted and page by page."""
        name = _panel(request)
        question = self._question(request.query_params.multi_items())
        if name in ("requests", "pipeline"):
            raise HTTPException(404, f"there is a page of its own for this: /{name}")
        return self._list(name, question)

    def requests(self, request: Request) -> Response:
        """The requests themselves."""
        return self._list("requests", self._question(request.query_params.multi_items()))

    def _list(self, name: str, question: Question) -> Response:
        version, answers = self.answers.ask([name], replace(question, limit=question.limit or LIST_ROWS))
        return HTMLResponse(self.views.list_page(answers[name], question, version))

    def pipeline(self, request: Request) -> Response:
        """How the pipeline is doing."""
        question = self._question(request.query_params.multi_items())
        try:
            version = self.answers.tables.version()
        except PipelineError:  # the sections say which table it is
            version = LakeVersion()
        return HTMLResponse(self.views.pipeline(pipeline(self.settings), question, version))

    def index(self, _request: Request) -> Response:
        """The panels' names, and where they are."""
        names = [*self.answers.names(self.answers.tables.version()), "pipeline"]
        return JSONResponse(
            {"panels": {name: {"json": f"/api/{name}", "csv": f"/export/{name}.csv"} for name in names}}
        )

    def api(self, request: Request) -> Response:
        """A panel as JSON."""
        if _panel(request) == "pipeline":
            return _json(pipeline(self.settings).json())
        _version, answer, question = self._asked(request)
        return _json(as_json(answer, question), status=503 if answer.problem else 200)

    def export(self, request: Request) -> Response:
        """A panel as CSV. What does not fit into memory waits in a temporary file, so that a slow reader keeps no query busy."""
        if _panel(request) == "pipeline":
            rows: Sequence[Sequence[Any]] = pipeline(self.settings).rows()
            columns: Sequence[Column] = PIPELINE_COLUMNS
            zone = "UTC"
        else:
            _version, answer, question = self._asked(request)
            if answer.problem:
                return PlainTextResponse(f"{answer.problem}\n", 503)
            columns, rows, zone = answer.columns, answer.found.rows, question.zone
        spool = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  closed when it was sent
        for text in as_csv(columns, rows, zone):
            spool.write(text.encode())
        spool.seek(0)
        headers = {"content-disposition": f'attachment; filename="{_panel(request)}.csv"'}
        return StreamingResponse(
            iter(lambda: spool.read(65_536), b""), media_type="text/csv; charset=utf-8", headers=headers,
            background=BackgroundTask(spool.close),
        )  # fmt: skip

    def _asked(self, request: Request) -> tuple[LakeVersion, Answer, Question]:
        pairs = request.query_params.multi_items()
        if names := unknown(pairs):
            raise QuestionError(f"no such parameter: {', '.join(map(printable, names))}")
        question = self._question(pairs)
        version, answers = self.answers.ask([_panel(request)], question)
        return version, answers[_panel(request)], question

    def live(self, request: Request) -> Response:
        """What changes by itself: the version that is shown, and the running figures of the newest day."""
        version = self.answers.tables.version()
        zone = self._question(request.query_params.multi_items()).zone
        return _json(
            {"version": list(version.name), "live": self._live(version, zone), "waiting": self._waiting(version)}
        )

    def metrics(self, _request: Request) -> Response:
        """Figures for Prometheus."""
        from consumer.page.exposition import CONTENT_TYPE, exposition

        return Response(exposition(self.settings), media_type=CONTENT_TYPE)

    def health(self, _request: Request) -> Response:
        """That the page answers. It says nothing of the lake: the pipeline has health checks of its own."""
        return PlainTextResponse("ok\n")

    def _question(self, pairs: list[tuple[str, str]]) -> Question:
        return asked(pairs, datetime.now(UTC), self.settings.page.time_zone)

    def _live(self, version: LakeVersion, zone: str) -> dict[str, Any] | None:
        """The running figures of the newest day (UTC), seconds old; ``None`` where no stream has counted any."""
        at = version.streaming.get("daily")
        if at is None:
            return None
        with self._reader(version) as reader:
            found = days(reader, "streaming", EVERYTHING)
            minutes = self._last_minutes(reader, zone)
        if not found:
            return None
        day = max(found)
        return {
            "day": day.isoformat(), "requests": found[day].requests, "visitors": found[day].visitors, "bytes": found[day].bytes,
            "client_errors": found[day].client_errors, "server_errors": found[day].server_errors,
            "as_of": iso_text(at.committed_at.astimezone(ZoneInfo(zone)), "seconds"), "version": at.version, "visitor_error": self.visitor_error,
            "minutes": minutes,
        }  # fmt: skip

    def _last_minutes(self, reader: LakeReader, zone: str) -> dict[str, Any] | None:
        """Requests of each of the last minutes; ``None`` where there are none to show."""
        found = None
        with suppress(PipelineError):  # of the archive's files: no figure that the page proves depends on them
            found = self._recent.last_minutes(reader.connection, datetime.now(UTC))
        if found is None or not any(minute.requests for minute in found.minutes):
            return None
        rows = [
            {"time": iso_text(minute.start.astimezone(ZoneInfo(zone)), "minutes"), "requests": minute.requests}
            for minute in found.minutes
        ]
        return {"rows": rows, "as_of": iso_text(found.as_of.astimezone(ZoneInfo(zone)), "seconds")}

    @property
    def visitor_error(self) -> float:
        """The standard error of the stream's visitors, as a share."""
        return float(1.04 / 2 ** (self.settings.stream.sketch_lg_k / 2))

    @contextmanager
    def _reader(self, version: LakeVersion) -> Iterator[LakeReader]:
        with self.answers.reader(version) as reader:
            yield reader

    def _waiting(self, version: LakeVersion) -> str:
        """What the page waits for, as long as there is nothing to show."""
        if version.delta is not None:
            return ""
        landed = len(waiting_files(self.settings.lake.landing))
        if landed:
            return f"{counted_text(landed, 'file')} landed, to be merged by the next merge, which runs every minute (python -m cleaner merge)"
        return "nothing has landed yet: it waits for the producer (python -m producer simulate, or: ingest PATH)"

    async def wrong_question(self, request: Request, error: Exception) -> Response:
        """400: says which parameter, and what is allowed."""
        return self._problem(request, 400, "This address cannot be answered", str(error))

    async def unreadable(self, request: Request, error: Exception) -> Response:
        """503: says which table, and what to do."""
        return self._problem(request, 503, "The lake cannot be read", str(error))

    async def not_there(self, request: Request, error: Exception) -> Response:
        """404 and the like."""
        found = error if isinstance(error, HTTPException) else HTTPException(500)
        if found.status_code == 405:
            answer = self._problem(request, 405, "The page is only read", "allowed: GET, HEAD")
            answer.headers["allow"] = "GET, HEAD"
            return answer
        return self._problem(request, found.status_code, "There is no such page", found.detail)

    def _problem(self, request: Request, status: int, title: str, text: str) -> Response:
        if request.url.path.startswith(("/api", "/export", "/metrics", "/healthz")):
            return JSONResponse({"error": printable(text)}, status)
        return HTMLResponse(self.views.problem(title, printable(text)), status)


def as_json(answer: Answer, question: Question) -> dict[str, Any]:
    """An answer in plain values: rows as objects by the columns' names, times in ISO 8601 in the question's time zone."""
    names = [column.name for column in answer.columns]
    rows = [
        dict(zip(names, (plain(c, v, question.zone) for c, v in zip(answer.columns, row, strict=True)), strict=True))
        for row in answer.found.rows
    ]
    return {
        "panel": answer.panel.name,
        "title": answer.panel.title,
        "parameters": question.parameters(),
        "time_zone": question.zone,
        "version": answer.version,
        "as_of": answer.as_of and iso_text(answer.as_of.astimezone(ZoneInfo(question.zone))),
        "is_exact": not answer.found.estimate,
        "estimate": answer.found.estimate or None,
        "problem": answer.problem or None,
        "notes": list(answer.found.notes),
        "requests": answer.found.requests,
        "has_more": answer.found.has_more,
        "columns": names,
        "rows": rows,
    }


def _panel(request: Request) -> str:
    name = str(request.path_params["panel"]).replace("-", "_")
    if name not in PANELS and name != "pipeline":
        raise HTTPException(404, f"no such panel; there are: {', '.join([*PANELS, 'pipeline'])}")
    return name


def _json(content: Any, status: int = 200) -> Response:
    # ASCII, so that what a log brought acts on no terminal.
    return Response(json.dumps(content, allow_nan=False), status, media_type="application/json")
