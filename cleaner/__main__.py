"""``python -m cleaner``: merges what has landed, keeps the tables tidy, and runs both by the clock."""

if __name__ == "__main__":
    from lakehouse.starting import end_on_signals

    end_on_signals()

import logging
import sys
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli import (
    DEFAULT_CONF,
    Conf,
    application,
    begin,
    job_log,
    reporting_errors,
    stop_on_signals,
)
from lakehouse.stopping import run as run_program

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

app = application("Merge what has landed into the lake's tables, keep them tidy, and run the periodic jobs.")
log = logging.getLogger("cleaner")

DAY = "%Y-%m-%d"
Echo = Annotated[bool, typer.Option("--echo", help="Copy the jobs' output to standard output too.")]


def _session(settings: "Settings", app_name: str, *, needs_spark: bool = False) -> "SparkSession":
    from lakehouse.session import job_session

    return job_session(settings, app_name, needs_spark=needs_spark)


def _merge_session(settings: "Settings") -> "SparkSession":
    """One for the whole run: what it has to do changes while it goes on."""
    from cleaner.merge import work_bytes
    from lakehouse.session import job_session

    return job_session(settings, "merge", work_bytes=partial(work_bytes, settings.lake))


@app.command()
def merge(conf: Conf = DEFAULT_CONF) -> None:
    """Bring everything that has landed into merged/, quarantine/ and delta/, each row once.

    With nothing new it ends at once, without starting Spark. Exits 1 if rows are not accounted for; then the landed
    files stay where they are.
    """
    with reporting_errors():
        settings = begin("cleaner", conf, job_log("merge"), is_writer=True)
        from cleaner.merge import merge as run

        run(settings, cache(partial(_merge_session, settings)))


@app.command()
def maintain(conf: Conf = DEFAULT_CONF) -> None:
    """Compact small files in time order, remove files that nothing uses any more, apply retention.

    The thresholds stand in the settings, group maintain. Waits for a merge that runs.
    """
    with reporting_errors():
        settings = begin("cleaner", conf, job_log("maintain"), is_writer=True)
        from cleaner.maintain import maintain as run

        run(settings, partial(_session, settings, "maintain", needs_spark=True), datetime.now(UTC))


@app.command()
def replay(
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="TEXT", help="Only rows quarantined for this reason; may be given again."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=[DAY], metavar="DAY", help="Only rows quarantined on this day (UTC) or later."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=[DAY], metavar="DAY", help="Only rows quarantined on this day or earlier."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, by reason, and change nothing.")
    ] = False,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Put quarantined rows before the rules again, after these have changed.

    Those that pass now are merged, each once, and leave quarantine; so does any row whose request has been merged in the
    meantime. Lines that did not parse as an access log stay: only the producer can parse them. If a newer one does, ingest
    the log again; then replay takes them out. Waits for a merge that runs.
    """
    with reporting_errors():
        if since and until and since > until:
            raise typer.BadParameter("--since is after --until")
        settings = begin("cleaner", conf, job_log("replay"), is_writer=True)
        from cleaner.replay import Asked
        from cleaner.replay import replay as run

        asked = Asked(tuple(reason or ()), since.date() if since else None, until.date() if until else None)
        run(settings, partial(_session, settings, "replay", needs_spark=True), asked, is_dry_run=dry_run)


@app.command()
def rebuild(conf: Conf = DEFAULT_CONF) -> None:
    """Make delta/ anew from merged/, with today's promoted columns and knowledge of agents, in one commit.

    The batch metrics of all days follow at their next run. Waits for a merge that runs.
    """
    with reporting_errors():
        settings = begin("cleaner", conf, job_log("rebuild"), is_writer=True)
        from cleaner.rebuild import rebuild as run

        run(settings, partial(_session, settings, "rebuild", needs_spark=True))


@app.command()
def schedule(
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Only the runs at the start, and end: for a cron daemon that has been started with the lake."
        ),
    ] = False,
    conf: Conf = DEFAULT_CONF,
    echo: Echo = False,
) -> None:
    """Run the jobs of the settings by their cron expressions, in the foreground, until stopped.

    The frequent ones (twice within the hour) also run once at the start, one after the other, as soon as something has landed.
    Each job's output, start, end, duration and exit code are in log/cron/JOB.log. A job never runs beside itself.
    """
    with reporting_errors():
        settings = begin("cleaner", conf, "cron/schedule.log")
        from cleaner.schedule import run_first
        from cleaner.schedule import schedule as run_always

        run = run_first if once else run_always
        run(settings, conf=conf, root=Path.cwd(), stop=stop_on_signals(), is_echoed=echo)


@app.command()
def crontab(
    user: Annotated[
        str | None, typer.Option(help="Account that the jobs run as, for a system crontab such as /etc/cron.d/*.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File or pipe that gets the jobs' output too.", metavar="FILE")
    ] = None,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Print the crontab that a cron daemon would be given: the same jobs as schedule runs."""
    import os

    with reporting_errors():
        settings = begin("cleaner", conf, None)
        from cleaner.crontab import crontab as rendered

        table = rendered(
            settings, python=sys.executable, root=Path.cwd(), conf=conf, environ=os.environ, user=user, output=output
        )
        typer.echo(table, nl=False)


@app.command()
def job(
    name: Annotated[str, typer.Argument(metavar="JOB", help="A job of the settings, e.g. merge.")],
    conf: Conf = DEFAULT_CONF,
    echo: Echo = False,
) -> None:
    """Run one job now as the schedule would: never beside itself, and with its trace in log/cron/JOB.log.

    Exits with the job's code; 0 if it was skipped because its last run goes on.
    """
    with reporting_errors():
        settings = begin("cleaner", conf, None)
        from cleaner.jobs import run_job

        exit_code = run_job(name, settings, conf=conf, root=Path.cwd(), stop=stop_on_signals(), is_echoed=echo)
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    run_program(partial(app, prog_name="python -m cleaner"))
