"""``python -m consumer``: archives and counts what lands, refreshes the exact metrics, reports, shows the page and monitors."""

if __name__ == "__main__":
    from lakehouse.starting import end_on_signals

    end_on_signals()

import atexit
import json
import os
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lakehouse.cli import (
    DEFAULT_CONF,
    Conf,
    application,
    begin,
    job_log,
    overridden,
    reporting_errors,
    stop_on_signals,
)
from lakehouse.stopping import run as run_program

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from rich.console import RenderableType

    from consumer.components.filters import Filters
    from lakehouse.settings import Settings

app = application("Archive and count what lands (stream), compute exact metrics (batch), report and monitor.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _show(as_json: dict[str, Any], rendered: "RenderableType", *, is_json: bool) -> None:
    if is_json:
        typer.echo(json.dumps(as_json, indent=2, allow_nan=False))
        return
    from rich.console import Console

    Console(highlight=False).print(rendered)


@app.command()
def stream(
    once: Annotated[bool, typer.Option("--once", help="Process what has landed and end.")] = False,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Archive every landed row in logs/ and keep the running figures in metrics/streaming/, until stopped.

    SIGTERM or Ctrl-C stops after the current batch (with --once at once); the next start goes on from there.
    """
    with reporting_errors():
        settings = begin("consumer", conf, "consumer/consumer.log", is_writer=True)
        if once:
            _stream_once(settings)
        else:
            _stream(settings)


def _stream_once(settings: "Settings") -> None:
    from consumer.streaming import stream_once
    from lakehouse.session import spark_session

    spark = spark_session(settings, "stream", is_driver_ours=True)
    try:
        stream_once(spark, settings)
    finally:
        _stop(spark)


def _stream(settings: "Settings") -> None:
    from consumer.streaming import stream as run
    from lakehouse.session import session_conf, spark_session
    from lakehouse.shared import new_token, shared, sharing_conf

    group = settings.spark
    open_to_jobs: AbstractContextManager[None] = nullcontext()
    if group.shared and group.engine == "spark" and not group.remote:
        conf = session_conf(settings)
        with new_token() as token:
            start_conf = sharing_conf(group.shared_host, conf)
            spark = spark_session(settings, "stream", is_driver_ours=True, start_conf=start_conf)
        open_to_jobs = shared(spark, settings.lake, group.shared_host, token, conf)
    else:
        spark = spark_session(settings, "stream", is_driver_ours=True)
    try:
        stop = stop_on_signals()  # after the session, which takes Ctrl-C for itself
        run(spark, settings, stop, open_to_jobs)
    finally:
        _stop(spark)


def _stop(spark: "SparkSession") -> None:
    """End Spark, without a word: threads of its state stores complain of its end, if they are at work just then."""
    spark.sparkContext.setLogLevel("OFF")
    spark.stop()
    _say_no_more()


def _say_no_more() -> None:
    """Close standard error to what follows the last line of the program's own.

    Threads of py4j never end, and what they refer to lives on; libraries then speak of leaks as Python takes itself apart.
    """
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))


@app.command()
def batch(
    recount: Annotated[
        str | None,
        typer.Option(
            metavar="DAY|all", help="Count a day (UTC, YYYY-MM-DD) or all days once more in full, and compare."
        ),
    ] = None,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Add what is new in delta/ to the exact figures in metrics/batch/. Closed days are counted once more in full.

    With nothing changed it ends at once. With --recount it exits 1 if a full count differs from what had been added up,
    which it then replaces.
    """
    with reporting_errors():
        days = None if recount in (None, "all") else [_day(str(recount))]
        settings = begin("consumer", conf, job_log("batch"), is_writer=True)
        from consumer import batch as job

        if recount is None:
            job.refresh(settings)
        elif job.recount(settings, days):
            raise typer.Exit(1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--recount: {text!r} is neither a day (YYYY-MM-DD) nor all") from None


@app.command()
def report(
    site: Annotated[
        str | None, typer.Option(metavar="NAME", help="Requests of this site alone; - for those without one.")
    ] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", metavar="DAY", formats=["%Y-%m-%d"], help="From this day (UTC) on.")
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", metavar="DAY", formats=["%Y-%m-%d"], help="Up to this day (UTC), included."),
    ] = None,
    humans: Annotated[bool, typer.Option("--humans", help="Requests of humans alone.")] = False,
    bots: Annotated[bool, typer.Option("--bots", help="Requests of bots alone.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the page's first page into this file, which needs nothing else, instead."
        ),
    ] = None,
    is_json: Json = False,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Show the figures: days, agents, IPs, paths, referers, clients, hours, sites, and where every landed row went.

    The options choose requests; what was rejected and where rows went is said of the whole lake. Exits 1 if
    landed = merged + duplicates + quarantined does not hold.
    """
    with reporting_errors():
        filters = _filters(site, first, last, humans=humans, bots=bots)
        if html is not None and is_json:
            raise typer.BadParameter("--html and --json exclude each other")
        settings = begin("consumer", conf, None)
        if html is not None:
            from consumer.page.export import write_html

            write_html(settings, filters, html)
            typer.echo(f"written: {html}")
            return
        from consumer.report import as_json, render
        from consumer.report import report as read

        found = read(settings, filters)
        _show(as_json(found), render(found), is_json=is_json)
    if not found.identity.holds:
        raise typer.Exit(1)


def _filters(site: str | None, first: datetime | None, last: datetime | None, *, humans: bool, bots: bool) -> "Filters":
    from consumer.components.filters import Filters

    if humans and bots:
        raise typer.BadParameter("--humans and --bots exclude each other; without either, both are shown")
    if site is not None and any("\ud800" <= character <= "\udfff" for character in site):
        raise typer.BadParameter("--site: not UTF-8")
    is_bot = True if bots else False if humans else None
    try:
        return Filters(site, first and first.date(), last and last.date(), is_bot)
    except ValueError as error:
        raise typer.BadParameter(f"--from, --to: {error}") from None


@app.command()
def page(
    host: Annotated[str | None, typer.Option(help="Listen here; beyond the loopback page.token must be set.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen at this port; 0 for any that is free.")] = None,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Show the figures in a browser, with filters and down to single requests, until stopped. No JVM.

    SIGTERM or Ctrl-C stops it.
    """
    with reporting_errors():
        settings = begin("consumer", conf, None)
        chosen = overridden(settings.page, host=host, port=port)
        from consumer.page.serve import serve

        serve(settings.model_copy(update={"page": chosen}))


@app.command()
def metrics(
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Replace this file, for node_exporter's textfile collector.")
    ] = None,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Print the pipeline's figures in Prometheus' format, as the page's /metrics does. No JVM."""
    with reporting_errors():
        settings = begin("consumer", conf, None)
        from consumer.page.export import write_file
        from consumer.page.exposition import exposition

        text = exposition(settings).decode()
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_file(output, text)


@app.command()
def status(
    part: Annotated[
        Literal["stream", "jobs"] | None,
        typer.Option(help="Show this part alone, in a line, as a health check: it must be at work, not only not late."),
    ] = None,
    is_json: Json = False,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Show how the pipeline is doing: producers, files waiting, tables, jobs, queries. No JVM, within a second.

    Exits 1 if something is late by the limits in the settings. With --part it also exits 1 if the stream does not
    run or has made no progress since its start, or if the merge has not ended well within its limit.
    """
    with reporting_errors():
        settings = begin("consumer", conf, None)
        from consumer.monitor import as_json, part_status, render, summary
        from consumer.monitor import status as look

        now = datetime.now(UTC)
        found = look(settings, now) if part is None else part_status(settings, part, now)
        if part is not None and not is_json:
            typer.echo(summary(found, part))
        else:
            _show(as_json(found, part), render(found), is_json=is_json)
    if found.late:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_program(partial(app, prog_name="python -m consumer"))
