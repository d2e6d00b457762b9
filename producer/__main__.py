"""``python -m producer``: puts requests into the landing folder, made up (``simulate``) or real (``ingest``)."""

import logging
import secrets
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli import DEFAULT_CONF, Conf, application, begin, overridden, reporting_errors, stop_on_signals
from lakehouse.settings import LandingFormat, LogFormat

if TYPE_CHECKING:
    from lakehouse.settings import Landing, Settings
    from producer.landing import Lander

app = application("Put requests into the landing folder: made up (simulate) or from real logs (ingest).")
log = logging.getLogger("producer")

LOG_NAME = "writer/producer.log"
KINDS = ("duplicates", "late", "nulls", "malformed", "bots")
FileFormat = Annotated[
    LandingFormat | None, typer.Option("--format", help="Kind of the landed files; landing.format in the settings.")
]


def _lander(settings: "Settings", landing: "Landing") -> "Lander":
    from producer.landing import Lander

    return Lander(
        settings.lake.landing, landing.format, batch_rows=landing.batch_rows, batch_seconds=landing.batch_seconds
    )


def _share(kind: str) -> typer.models.OptionInfo:
    return typer.Option(help=f"Part of the events that are {kind}, 0 to 1.", metavar="SHARE")


@app.command()
def simulate(
    rate: Annotated[float | None, typer.Option(help="Events per second.")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Run so many seconds, in real time. Without it and --events: until stopped.", min=0)
    ] = None,
    events: Annotated[int | None, typer.Option(help="Make so many events, as fast as possible.", min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same events. Default: another one each time.", min=0)] = None,
    file_format: FileFormat = None,
    duplicates: Annotated[float | None, _share("delivered again, with the same event_id")] = None,
    late: Annotated[float | None, _share("up to some days old")] = None,
    nulls: Annotated[float | None, _share("lacking a required column")] = None,
    malformed: Annotated[float | None, _share("lines that do not parse")] = None,
    bots: Annotated[float | None, _share("crawlers'")] = None,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Land made-up requests, as a few web sites would get them.

    What is not given here stands in the settings, group simulate. Says at the end how many of each it made.
    """
    if duration is not None and events is not None:
        raise typer.BadParameter("--duration and --events exclude each other")
    with reporting_errors():
        settings = begin("producer", conf, LOG_NAME)
        landing = overridden(settings.landing, format=file_format)
        simulation = overridden(
            settings.simulate, rate=rate, duplicates=duplicates, late=late, nulls=nulls, malformed=malformed, bots=bots
        )
        stop = stop_on_signals()
        from producer.landing import utc_now
        from producer.pacing import TICK_SECONDS, land_batches
        from producer.simulate import batches

        seed = secrets.randbelow(2**32) if seed is None else seed
        log.info("simulating %g events/s with --seed %d", simulation.rate, seed)
        count = round(simulation.rate * duration) if duration is not None else events
        is_paced = events is None
        # At full speed time runs ahead of ours: begin so far back that no event lies in the future.
        start = utc_now() - timedelta(seconds=0 if events is None else events / simulation.rate)
        lander = _lander(settings, landing)
        made = batches(simulation, seed=seed, start=start, events=count, tick_seconds=TICK_SECONDS)
        counts = land_batches(made, lander, stop, is_paced=is_paced)
        kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS)
        log.info("made %s events: %s; landed %s rows in %d files", f"{counts['events']:,}", kinds, f"{lander.rows:,}", lander.files)


@app.command()
def ingest(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Logs, folders or globs of logs; - is standard input.")
    ],
    site: Annotated[
        str | None, typer.Option(help="The site's name. Part of each line's identity: always use the same one for a log.")
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="How the lines are written; auto finds out for each file.")
    ] = None,
    file_format: FileFormat = None,
    follow: Annotated[  # noqa: FBT002
        bool, typer.Option("--follow", help="Go on as the logs grow and rotate, from where it was left, like tail -F.")
    ] = False,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Land the lines of real logs: Combined, Common, vhost-first or JSON, plain or gzip.

    Every line is landed, also one that does not parse (with its text, for quarantine). The same log again, renamed
    or compressed, adds nothing to merged/. Exits 1 if a file could not be read to its end; other files go on.
    """
    with reporting_errors():
        settings = begin("producer", conf, LOG_NAME)
        landing = overridden(settings.landing, format=file_format)
        reading = overridden(settings.ingest, site=site, log_format=log_format)
        stop = stop_on_signals()
        from producer.ingest import Ingestion

        lander = _lander(settings, landing)
        begun = time.monotonic()
        summary = Ingestion(reading, lander, stop).run(paths)
        log.info(
            "ingested %d files, %d of them not to their end: %s lines, %s of them unparsed; landed %s rows in %.1f s%s",
            summary.files, summary.failed, f"{summary.lines:,}", f"{summary.unparsed:,}", f"{lander.rows:,}",
            time.monotonic() - begun, "; stopped, run again to add the rest" if summary.is_stopped else "",
        )  # fmt: skip
    if summary.failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m producer")
