"""The table of jobs as a cron daemon takes it, and as a clock reads it. Made by python-crontab from ``settings.jobs``.

Times are the machine's local time, as cron's are.
"""

import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import SettingsError

if TYPE_CHECKING:
    from crontab import CronItem

    from lakehouse.settings import Settings

SHELL = "/bin/sh"
# Cron starts its jobs without the environment; these reach them all the same.
PASSED_NAMES = frozenset({"JAVA_HOME", "LANG", "LC_ALL", "PATH", "SPARK_CONF_DIR", "SPARK_HOME", "TZ"})
PASSED_PREFIXES = ("PIPELINE_", "PYSPARK_")
FREQUENT = timedelta(hours=1)


def crontab(
    settings: "Settings",
    *,
    python: str,
    root: Path,
    conf: Path,
    environ: Mapping[str, str],
    user: str | None = None,
    output: Path | None = None,
) -> str:
    """What a cron daemon is given: the environment, and one line for each job.

    :param python: the interpreter that runs the jobs.
    :param root: the working directory of the jobs.
    :param conf: the settings file; a relative one counts from ``root``.
    :param environ: where the passed variables come from, ``os.environ``.
    :param user: the account in the lines of a system crontab (``/etc/cron.d``); ``None`` for a user's own crontab.
    :param output: a file or pipe that gets what the jobs say too; ``None`` leaves to cron what is not in their logs.
    :raises SettingsError: a job never comes round, or a value cannot be written in a crontab.
    """
    from crontab import CronTab

    table = CronTab(tab="", user=None if user is None else False)
    for name, job in settings.jobs.items():
        require_recurring(name, job.cron)
        command = " ".join([shlex.quote(python), "-m cleaner job", name, "--conf", shlex.quote(str(conf))])
        line = f"cd {shlex.quote(str(root.absolute()))} && {command}"
        if output is not None:
            line += f" --echo >>{shlex.quote(str(output))} 2>&1"
        _require_one_line(f"the command of job {name}", line)
        # python-crontab escapes cron's % itself.
        table.new(command=line, comment=name, pre_comment=True, user=user).setall(job.cron)
    variables = {"SHELL": SHELL, "PATH": os.defpath} | passed_environment(environ)
    # python-crontab quotes a variable that holds a blank, but not the quotes in it.
    lines = [f"{name}={_quoted(name, value)}\n" for name, value in variables.items()]
    return "".join(lines) + str(table.render())


def passed_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``environ`` that the jobs need, by name."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if name in PASSED_NAMES or name.upper().startswith(PASSED_PREFIXES)
    }


def next_run(expression: str, after: datetime) -> datetime:
    """The first time after ``after`` that the cron ``expression`` names, in its time zone.

    :raises SettingsError: there is none.
    """
    from croniter import CroniterError

    try:
        found: datetime = _item(expression).schedule(after).get_next(datetime)
    except CroniterError as error:
        raise SettingsError(f"cron expression {expression!r} never comes round: {error}") from None
    return found


def is_frequent(expression: str, now: datetime) -> bool:
    """Whether the cron ``expression`` comes round twice within the hour after ``now``."""
    return next_run(expression, next_run(expression, now)) <= now + FREQUENT


def require_recurring(name: str, expression: str) -> None:
    """See that job ``name`` comes round at all.

    :raises SettingsError: it does not, as on 31 February.
    """
    try:
        next_run(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except SettingsError as error:
        raise SettingsError(f"jobs.{name}.cron: {error}") from None


def _item(expression: str) -> "CronItem":
    from crontab import CronItem

    item = CronItem()
    item.setall(expression)
    return item


def _quoted(name: str, value: str) -> str:
    """``value`` as cron's own parser reads it: quotes of either kind around it, no escapes inside."""
    _require_one_line(f"variable {name}", value)
    for quote in ("'", '"'):
        if quote not in value:
            return f"{quote}{value}{quote}"
    if value[0] in "'\"" or value != value.strip():
        raise SettingsError(f"environment: {name}: cron has no way to write both kinds of quotes; put it into conf/")
    return value


def _require_one_line(what: str, text: str) -> None:
    if any(c in text for c in "\n\r\0"):
        raise SettingsError(f"{what} has a line break in it, which no crontab can hold: {text!r}")
