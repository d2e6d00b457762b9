"""The table of jobs as a crontab."""

import os
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from crontab import CronTab

from cleaner.crontab import crontab, is_frequent, next_run, passed_environment
from lakehouse.errors import SettingsError
from lakehouse.settings import Settings, unpack_settings

NOON = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)


def made(settings: Settings | None = None, **changes: object) -> str:
    python, root, conf = "/opt/venv/bin/python", Path("/srv/pipeline"), Path("conf/pipeline.yaml")
    arguments = {"python": python, "root": root, "conf": conf, "environ": {}} | changes
    return crontab(settings or Settings(), **arguments)  # type: ignore[arg-type]


def settings_with(cron: str) -> Settings:
    return unpack_settings({"jobs": {"merge": {"cron": cron, "program": "cleaner", "command": "merge"}}}, "test")


def as_cron_runs(command: str) -> str:
    r"""What cron hands to the shell: ``\%`` is a percent sign; a bare one would end the command."""
    assert "%" not in command.replace(r"\%", "")
    return command.replace(r"\%", "%")


def variables(text: str) -> dict[str, str]:
    """The environment as cron's parser reads it: a quote at the front ends at the next of its kind."""
    found = {}
    for line in text.splitlines():
        if line and line[0].isalpha():
            name, value = line.split("=", 1)
            if value[0] in "'\"":
                quote = value[0]
                value, rest = value[1:].split(quote, 1)
                assert rest == ""
            found[name] = value
    return found


def test_the_crontab_has_the_environment_and_one_line_for_each_job() -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/root", "JAVA_HOME": "/opt/java", "PIPELINE_PATHS__LOG": "/srv/my log"}
    assert made(environ=environ).splitlines() == [
        "SHELL='/bin/sh'",
        "PATH='/usr/bin:/bin'",
        "JAVA_HOME='/opt/java'",
        "PIPELINE_PATHS__LOG='/srv/my log'",
        "",
        "# merge",
        "* * * * * cd /srv/pipeline && /opt/venv/bin/python -m cleaner job merge --conf conf/pipeline.yaml",
        "# batch",
        "*/2 * * * * cd /srv/pipeline && /opt/venv/bin/python -m cleaner job batch --conf conf/pipeline.yaml",
        "# maintain",
        "17 3 * * * cd /srv/pipeline && /opt/venv/bin/python -m cleaner job maintain --conf conf/pipeline.yaml",
    ]


def test_python_crontab_reads_back_what_it_wrote() -> None:
    table = CronTab(tab=made())
    assert [(job.comment, str(job.slices), job.is_enabled()) for job in table] == [
        ("merge", "* * * * *", True), ("batch", "*/2 * * * *", True), ("maintain", "17 3 * * *", True),
    ]  # fmt: skip


def test_a_system_crontab_names_the_account_in_each_line() -> None:
    line = made(user="pipeline").splitlines()[-1]
    assert line == (
        "17 3 * * * pipeline cd /srv/pipeline && /opt/venv/bin/python -m cleaner job maintain --conf conf/pipeline.yaml"
    )


def test_what_jobs_say_can_go_to_a_pipe_too() -> None:
    line = made(user="pipeline", output=Path("/run/a pipe")).splitlines()[-1]
    assert line == (
        "17 3 * * * pipeline cd /srv/pipeline && /opt/venv/bin/python -m cleaner job maintain --conf conf/pipeline.yaml"
        " --echo >>'/run/a pipe' 2>&1"
    )


def test_a_path_with_blanks_quotes_and_percent_signs_survives_cron_and_the_shell(tmp_path: Path) -> None:
    root = tmp_path / """100% of "John's" logs $(date) `x` #1"""
    root.mkdir()
    line = made(settings_with("* * * * *"), python="/bin/echo", root=root, conf=Path("a 50%.yaml")).splitlines()[-1]
    command = as_cron_runs(line.removeprefix("* * * * * ")).replace("&&", "&& pwd &&")
    ran = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [str(root), "-m cleaner job merge --conf a 50%.yaml"]


def test_only_the_variables_that_jobs_need_are_passed() -> None:
    environ = {
        "PIPELINE_SPARK__MASTER": "local[1]", "pipeline_limits__merge_seconds": "9", "PYSPARK_PYTHON": "/p",
        "HOME": "/root", "JAVA_HOME": "/j", "SPARK_HOME": "/s", "PATH": "/bin", "SECRET": "x", "MY_PIPELINE_X": "y",
        "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    assert passed_environment(environ) == {
        "JAVA_HOME": "/j", "LC_ALL": "C.UTF-8", "PATH": "/bin", "PIPELINE_SPARK__MASTER": "local[1]",
        "PYSPARK_PYTHON": "/p", "SPARK_HOME": "/s", "pipeline_limits__merge_seconds": "9",
    }  # fmt: skip
    assert passed_environment({}) == {}


@pytest.mark.parametrize("value", ["", " a ", "it's", 'say "x"', "a=b", "50%", "#1", "'both\"", "tail\\", "x'y\"z"])
def test_a_variable_reaches_the_jobs_as_it_is_or_is_refused(value: str) -> None:
    environ = {"PIPELINE_INGEST__SITE": value}
    if value == "'both\"":
        with pytest.raises(SettingsError, match="PIPELINE_INGEST__SITE: cron has no way to write both kinds of quotes"):
            made(environ=environ)
    else:
        assert variables(made(environ=environ))["PIPELINE_INGEST__SITE"] == value


def test_a_line_break_cannot_add_a_line_to_the_crontab() -> None:
    with pytest.raises(SettingsError, match="variable PIPELINE_INGEST__SITE has a line break"):
        made(environ={"PIPELINE_INGEST__SITE": "a\n* * * * * evil"})
    with pytest.raises(SettingsError, match="the command of job merge has a line break"):
        made(root=Path("/srv/a\nb"))


def test_no_jobs_make_a_crontab_of_the_environment_alone() -> None:
    assert made(Settings(jobs={})).splitlines() == ["SHELL='/bin/sh'", f"PATH='{os.defpath}'"]


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", NOON, NOON + timedelta(minutes=1)),
        ("* * * * *", NOON + timedelta(seconds=59), NOON + timedelta(minutes=1)),
        ("*/5 * * * *", NOON + timedelta(minutes=1), NOON + timedelta(minutes=5)),
        ("17 3 * * *", NOON, datetime(2024, 5, 18, 3, 17, tzinfo=UTC)),
        ("@daily", NOON, datetime(2024, 5, 18, tzinfo=UTC)),
        ("0 0 29 2 *", NOON, datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_run_is_the_first_time_after(expression: str, after: datetime, expected: datetime) -> None:
    assert next_run(expression, after) == expected


def test_the_next_run_is_in_the_time_zone_that_was_asked_for() -> None:
    east = timezone(timedelta(hours=5))
    assert next_run("17 3 * * *", datetime(2024, 5, 17, 1, 0, tzinfo=east)) == datetime(2024, 5, 17, 3, 17, tzinfo=east)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", True),
        ("*/30 * * * *", True),
        ("*/31 * * * *", True),
        ("0 * * * *", False),
        ("10,50 12 * * *", True),
        ("*/5 13 * * *", False),  # not at this time of the day
        ("17 3 * * *", False),
        ("5 12 * * *", False),
    ],
)
def test_a_frequent_job_comes_round_twice_within_the_hour(expression: str, expected: bool) -> None:
    assert is_frequent(expression, NOON) == expected


def test_a_job_that_never_comes_round_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingsError, match=r"jobs\.merge\.cron: cron expression '0 0 31 2 \*' never comes round"):
        made(settings_with("0 0 31 2 *"))
