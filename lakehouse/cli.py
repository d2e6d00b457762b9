"""What the command lines of the three programs share: the settings option, errors, overrides, signals."""

import logging
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lakehouse.errors import PipelineError, SettingsError
from lakehouse.failures import explained
from lakehouse.logs import SafeFormatter, printable
from lakehouse.stopping import is_stopped

if TYPE_CHECKING:
    from lakehouse.settings import Group, Settings

    AnyGroup = TypeVar("AnyGroup", bound=Group)

Conf = Annotated[Path, typer.Option("--conf", help="The settings file.", metavar="FILE")]
DEFAULT_CONF = Path("conf/pipeline.yaml")
# Set for a job whose output somebody else writes to its log.
TRACED = "LAKEHOUSE_JOB_IS_TRACED"
STEP_SECONDS = 0.1


def application(help_text: str) -> typer.Typer:
    """A Typer application with subcommands, as all three programs have it."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn an error that is meant for the user into its message on standard error and exit code 1.

    So with what the machine did to us: no space, permission or memory. Once logging is configured, the message goes to the
    log, which the terminal is part of. So does any other error, with its traceback: it is a fault of the program.
    """
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        if is_stopped():
            raise
        if (known := explained(error)) is not None:
            report(known)
            raise typer.Exit(1) from None
        if not _has_log():
            raise
        logging.getLogger("lakehouse").exception("unexpected error")
        raise typer.Exit(1) from None


def report(error: PipelineError) -> None:
    """Show the user what is wrong: in the log if there is one, else line by line on standard error."""
    if _has_log():
        logging.getLogger("lakehouse").error("%s", "; ".join(str(error).splitlines()))
    else:
        for line in str(error).splitlines():
            typer.echo(f"error: {printable(line)}", err=True)


def _has_log() -> bool:
    return any(isinstance(handler.formatter, SafeFormatter) for handler in logging.getLogger().handlers)


def overridden(group: "AnyGroup", **options: Any) -> "AnyGroup":
    """A group of settings with those options in the place of its values that were given (are not ``None``).

    :param options: by the names of the group's settings.
    :raises SettingsError: a value is not allowed; names the option as one types it.
    """
    from pydantic import ValidationError

    given = {name: value for name, value in options.items() if value is not None}
    try:
        return type(group).model_validate(group.model_dump() | given)
    except ValidationError as error:
        problems = []
        for e in error.errors():
            option = str(e["loc"][0]).replace("_", "-")
            problems.append(f"--{option} = {printable(repr(e['input']))}: {e['msg']}")
        raise SettingsError("\n".join(problems)) from None


def begin(program: str, conf: Path, log_name: str | None, *, is_writer: bool = False) -> "Settings":
    """Load the settings, configure the log, and see to it that the lake is one that this release knows.

    :param program: the name of its loggers, e.g. ``producer``.
    :param log_name: its log below ``paths.log``, e.g. ``writer/producer.log``; ``None`` for the terminal alone.
    :param is_writer: the program will write into the lake, which then is one of this release.
    :raises LayoutError: the lake is from a newer release.
    :raises SettingsError: the settings file or a variable of the environment is wrong.
    :raises PipelineError: the log cannot be written.
    """
    from lakehouse.layout import adopt, require_known
    from lakehouse.logs import configure
    from lakehouse.settings import load_settings

    settings = load_settings(conf)
    log_file = None if log_name is None else settings.paths.log / log_name
    try:
        configure(program, log_file)
    except OSError as error:
        reason = error.strerror or error
        raise PipelineError(f"{log_file}: the log cannot be written: {reason}; see to its permissions") from None
    if is_writer:
        adopt(settings.lake)
    else:
        require_known(settings.lake)
    return settings


class Stop(Event):
    """An event that a signal handler may set while its own thread waits for it.

    ``Event.wait`` holds a lock now and then that ``set`` takes: a handler that runs in that moment would block for ever.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Return when it is set, at the latest ``STEP_SECONDS`` after, or when the time is over; whether it is set."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left_seconds := end - time.monotonic()) > 0:
            time.sleep(min(left_seconds, STEP_SECONDS))
        return self.is_set()


def stop_on_signals() -> Event:
    """An event that SIGTERM or SIGINT sets. A second signal ends the program at once."""
    stop = Stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def job_log(job: str) -> str | None:
    """Where a periodic job logs: ``cron/JOB.log``, or the terminal alone where the schedule keeps that log for it."""
    return None if os.environ.get(TRACED) else f"cron/{job}.log"
