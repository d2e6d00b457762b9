"""``python -m producer``: puts requests into the landing folder, made up (``simulate``) or real (``ingest``)."""

if __name__ == "__main__":
    from lakehouse.starting import end_on_signals

    end_on_signals()

import json
import logging
import math
import secrets
import time
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli import DEFAULT_CONF, Conf, application, begin, overridden, reporting_errors, stop_on_signals
from lakehouse.settings import LandingFormat
from lakehouse.stopping import run as run_program

if TYPE_CHECKING:
    from lakehouse.settings import Ingest, Landing, Settings
    from producer.landing import Lander
    from producer.recording import Recorder

app = application("Put requests into the landing folder: made up (simulate) or from real logs (ingest).")
log = logging.getLogger("producer")

LOG_NAME = "writer/producer.log"
SEEDED_START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("duplicates", "late", "nulls", "malformed", "bots")
FileFormat = Annotated[
    LandingFormat | None, typer.Option("--format", help="Kind of the landed files; landing.format in the settings.")
]


def _lander(settings: "Settings", landing: "Landing", recorder: "Recorder | None" = None) -> "Lander":
    from producer.landing import Lander

    return Lander(
        settings.lake.landing, landing.format, batch_rows=landing.batch_rows, batch_seconds=landing.batch_seconds,
        on_published=None if recorder is None else recorder.progress,
    )  # fmt: skip


def _share(kind: str) -> Any:
    return typer.Option(help=f"Part of the events that are {kind}, 0 to 1.", metavar="SHARE")


@app.command()
def simulate(
    rate: Annotated[float | None, typer.Option(help="Events per second.")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Run so long, in real time. Without it and --events: until stopped.", min=0)
    ] = None,
    events: Annotated[int | None, typer.Option(help="Make so many events, as fast as possible.", min=0)] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Same seed, same events; default: another one each time. "
            f"With --events their times are the same too, and begin on {SEEDED_START:%Y-%m-%d}.",
        ),
    ] = None,
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
        settings = begin("producer", conf, LOG_NAME, is_writer=True)
        landing = overridden(settings.landing, format=file_format)
        simulation = overridden(
            settings.simulate, rate=rate, duplicates=duplicates, late=late, nulls=nulls, malformed=malformed, bots=bots
        )
        stop = stop_on_signals()
        from lakehouse.producers import SIMULATE
        from producer.landing import utc_now
        from producer.pacing import TICK_SECONDS, land_batches
        from producer.recording import Recorder, recorded_if_first
        from producer.simulate import batches

        if events is None:
            start = utc_now()
        elif seed is not None:
            start = SEEDED_START
        else:  # at full speed time runs ahead of ours: begin so far back that no event lies in the future, in quiet hours too
            start = utc_now() - timedelta(seconds=60 + 2 * events / simulation.rate)
        seed = secrets.randbelow(2**32) if seed is None else seed
        log.info("simulating %g events/s from %s on with --seed %d", simulation.rate, f"{start:%F %T} UTC", seed)
        ticks = None if duration is None else math.ceil(duration / TICK_SECONDS)
        recorder = Recorder(settings.lake, SIMULATE)
        lander = _lander(settings, landing, recorder)
        made = batches(simulation, seed=seed, start=start, events=events, tick_seconds=TICK_SECONDS)
        with recorded_if_first(recorder) if events is None else nullcontext():
            counts = land_batches(islice(made, ticks), lander, stop, is_paced=events is None)
        kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS)
        landed = f"landed {lander.rows:,} rows in {lander.files:,} files"
        log.info("made %s events: %s; %s", f"{counts['events']:,}", kinds, landed)


@app.command()
def ingest(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Logs, folders or globs of logs; - is standard input.")
    ],
    site: Annotated[
        str | None, typer.Option(help="The site's name. It is part of each line's identity: keep to one for a log.")
    ] = None,
    site_from_name: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="One log for each site: its name with SITE in the site's place, such as SITE.access.log or access_SITE.log.",
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="How the lines are written: auto (finds out for each line), a format's name, or the format string of your "
            "server: nginx's log_format or Apache's LogFormat.",
        ),
    ] = None,
    file_format: FileFormat = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on as the logs grow and rotate, from where it was left, like tail -F.")
    ] = False,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Land the lines of real logs in any format that "inspect" understands, plain or compressed.

    Every line is landed, also one that does not parse (with its text, for quarantine). The same log again, renamed
    or compressed, adds nothing to merged/. Exits 1 if a file could not be read to its end (other files go on), or if no line
    of any was a request that could be read.
    """
    with reporting_errors():
        settings = begin("producer", conf, LOG_NAME, is_writer=True)
        landing = overridden(settings.landing, format=file_format)
        reading = overridden(settings.ingest, site=site, log_format=log_format, site_from_name=site_from_name)
        _check(reading)
        stop = stop_on_signals()
        from producer.limits import memory_limit, parsing_threads, usable_cores
        from producer.memory import keep_freed_memory

        keep_freed_memory()
        threads = parsing_threads(usable_cores(), memory_limit())
        log.debug("parsing in %d threads", threads)
        if follow:
            has_failed = _follow(paths, settings, landing, reading, stop, threads)
        else:
            has_failed = _ingest(paths, settings, reading, _lander(settings, landing), stop, threads)
    if has_failed:
        raise typer.Exit(1)


def _check(reading: "Ingest") -> None:
    """Refuse settings that no log can be read by.

    :raises BadParameter: the format is none, or cannot be used.
    :raises InputError: the pattern of sites has no place for one.
    """
    from lakehouse.logs import printable
    from producer.formats.detection import check_format
    from producer.formats.directives import FormatError
    from producer.sites import site_of

    try:
        check_format(reading.log_format)
    except FormatError as error:
        value = printable(repr(reading.log_format))
        raise typer.BadParameter(f"{value}: {error}", param_hint="--log-format (ingest.log_format)") from None
    if reading.site_from_name is not None:
        site_of(reading.site_from_name)


def _ingest(
    paths: list[str], settings: "Settings", reading: "Ingest", lander: "Lander", stop: Event, threads: int
) -> bool:
    from producer.ingest import Ingestion
    from producer.recording import record_reports
    from producer.reports import proxy_hint, report_line

    begun = time.monotonic()
    summary = Ingestion(reading, lander, stop, threads=threads).run(paths)
    for report in summary.reports:
        log.info("%s", report_line(report))
    hint = proxy_hint(summary.tally, is_trusting=bool(reading.trusted_proxies))
    if hint is not None:
        log.warning("%s", hint)
    record_reports(settings.lake, summary.reports, hint)
    log.info(
        "ingested %d files, %d of them not to their end: %s lines, %s of them unparsed; landed %s rows in %.1f s%s",
        summary.files, summary.failed, f"{summary.lines:,}", f"{summary.unparsed:,}", f"{lander.rows:,}",
        time.monotonic() - begun, "; stopped, run again to add the rest" if summary.is_stopped else "",
    )  # fmt: skip
    if summary.has_nothing_parsed:
        log.error("no line is a request that could be read; see: python -m producer inspect %s", " ".join(paths))
    return summary.failed > 0 or summary.has_nothing_parsed


def _follow(
    paths: list[str], settings: "Settings", landing: "Landing", reading: "Ingest", stop: Event, threads: int
) -> bool:
    from lakehouse.locks import lock
    from lakehouse.producers import FOLLOW, positions
    from producer.follow import Follower
    from producer.recording import Recorder

    recorder = Recorder(settings.lake, FOLLOW)
    lander = _lander(settings, landing, recorder)
    with lock(settings.lake.locks, FOLLOW), recorder:
        kept_in = positions(settings.lake)
        follower = Follower(paths, reading, lander, kept_in, stop, threads=threads, on_polled=recorder.progress)
        log.info("following %s", ", ".join(paths))
        follower.run()
    log.info(
        "stopped following: %s lines, %s of them unparsed; landed %s rows in %d files",
        f"{follower.lines:,}", f"{follower.unparsed:,}", f"{lander.rows:,}", lander.files,
    )  # fmt: skip
    return False


@app.command()
def inspect(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Logs, folders or globs of logs.")],
    log_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="As for ingest; default: what the settings say.")
    ] = None,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Show how logs would be read, and land nothing: format, share of lines that parse, examples, and what to set.

    Of a large log it looks at parts. Exits 1 if a log cannot be read or if no line of any is a request.
    """
    has_failed = False
    with reporting_errors():
        settings = begin("producer", conf, None)
        reading = overridden(settings.ingest, log_format=log_format)
        _check(reading)
        from lakehouse.errors import InputError
        from producer.ingest import chosen_files, reading_of, source_text
        from producer.inspection import inspected, inspection_lines

        parsed = 0
        for path in chosen_files(paths):
            if path is None:
                raise InputError("-: standard input cannot be inspected; name a file")
            how = reading_of(source_text(path), reading)
            try:
                seen = inspected(path, how)
            except InputError as error:
                log.error("%s", error)
                has_failed = True
                continue
            parsed += seen.tally.parsed
            typer.echo("\n".join(inspection_lines(seen, how)))
        has_failed |= parsed == 0
    if has_failed:
        raise typer.Exit(1)


@app.command()
def status(
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    conf: Conf = DEFAULT_CONF,
) -> None:
    """Show what the producer that goes on (simulate, ingest --follow) last did. Within a second, for a health check.

    Exits 1 if none runs, or if one that does has made no progress for longer than limits.producer_seconds.
    """
    with reporting_errors():
        settings = begin("producer", conf, None)
        from lakehouse.producers import positions, producers
        from producer.recording import report_lines
        from producer.reports import followed_lines, report_json
        from producer.status import deeds, problems
        from producer.tallies import kept_tallies

        followed = kept_tallies(positions(settings.lake)).reports()
        now, seen = datetime.now(UTC), producers(settings.lake)
        wrong = problems(seen, now, settings.limits.producer_seconds)
        if is_json:
            found = {name: asdict(producer) for name, producer in seen.items()}
            plain = {"now": now, "data_lake": str(settings.lake.root), "producers": found, "late": wrong}
            plain |= {"followed_logs": [report_json(report) for report in followed], "exit_code": 1 if wrong else 0}
            typer.echo(json.dumps(plain, indent=2, default=datetime.isoformat))
        else:
            of_followed = followed_lines(followed, is_trusting=bool(settings.ingest.trusted_proxies))
            typer.echo("\n".join([*(wrong or deeds(seen, now)), *of_followed, *report_lines(settings.lake, now)]))
    if wrong:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_program(partial(app, prog_name="python -m producer"))
