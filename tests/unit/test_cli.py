import json
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from cleaner.__main__ import app as cleaner
from consumer.__main__ import app as consumer
from lakehouse.cli import application, begin, overridden, reporting_errors, stop_on_signals
from lakehouse.errors import InputError, PipelineError, SettingsError
from lakehouse.lake import Lake, waiting_files
from lakehouse.ledger import Ledger, now_text
from lakehouse.locks import lock
from lakehouse.settings import Ingest, Landing, Simulate
from producer.__main__ import app
from producer.landing import LANDED
from producer.recording import INGEST_REPORT

LINE = '192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1\n'


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Each test begins, and leaves, with a root logger that has no handlers of ours."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"paths: {{data_lake: {tmp_path / 'lake'}, log: {tmp_path / 'log'}}}\n", encoding="utf-8")
    return path


def run(*arguments: str | Path, content: str | None = None, program: typer.Typer = app) -> tuple[int, str]:
    """Exit code and all output of the producer, or of another program."""
    result = CliRunner().invoke(program, [str(argument) for argument in arguments], input=content)
    return result.exit_code, result.output


def landed(tmp_path: Path) -> list[Path]:
    return waiting_files(tmp_path / "lake" / "logs_to_merge")


# What all programs share ---------------------------------------------------------------------------------------------


def test_options_that_were_given_take_the_place_of_settings() -> None:
    assert overridden(Ingest(site="a"), site=None, log_format="json") == Ingest(site="a", log_format="json")
    assert overridden(Ingest(site="a"), site="") == Ingest()
    assert overridden(Landing(), format=None) == Landing()


def test_an_option_out_of_range_is_named_as_one_types_it() -> None:
    with pytest.raises(SettingsError, match=r"^--rate = 0: Input should be greater than 0\n--bots = 2: "):
        overridden(Simulate(), rate=0, bots=2)


def test_an_error_for_the_user_is_its_message_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_info, reporting_errors():
        raise InputError("a.log: \x1b[31mred\nsecond line")
    assert exit_info.value.exit_code == 1
    assert capsys.readouterr().err == "error: a.log: \\x1b[31mred\nerror: second line\n"


def test_once_there_is_a_log_errors_go_there_too(
    conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin("producer", conf, "writer/producer.log")
    with pytest.raises(typer.Exit), reporting_errors():
        raise InputError("a.log: no such file\nsecond line")
    with pytest.raises(typer.Exit), reporting_errors():
        raise ZeroDivisionError
    in_log = (tmp_path / "log" / "writer" / "producer.log").read_text()
    assert "ERROR lakehouse: a.log: no such file; second line\n" in in_log
    assert "ERROR lakehouse: unexpected error\nTraceback" in in_log
    assert "ERROR lakehouse: a.log: no such file; second line\n" in capsys.readouterr().err


def test_without_a_log_an_unexpected_error_comes_out() -> None:
    with pytest.raises(ZeroDivisionError), reporting_errors():
        raise ZeroDivisionError


def test_a_log_that_cannot_be_written_is_an_error_that_names_it(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(PipelineError, match=r"producer\.log: the log cannot be written"):
        begin("producer", conf, "writer/producer.log")


def test_a_signal_sets_the_event_and_a_second_one_is_no_longer_ours() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = stop_on_signals()
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_program_without_a_command_shows_its_help() -> None:
    program = application("What it does.")
    program.command("one")(lambda: None)
    program.command("two")(lambda: None)
    assert "What it does." in CliRunner().invoke(program, []).output


# The producer --------------------------------------------------------------------------------------------------------


def test_ingest_lands_a_log_and_says_what_it_did(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINE + "\n")
    code, _ = run("ingest", tmp_path / "a.log", "--site", "shop", "--format", "json", "--conf", conf)
    (path,) = landed(tmp_path)
    assert (code, path.suffix) == (0, ".json")
    assert pl.read_ndjson(path)["site"].to_list() == ["shop", "shop"]
    in_log = (tmp_path / "log" / "writer" / "producer.log").read_text()
    assert "ingested 1 files, 0 of them not to their end: 2 lines, 1 of them unparsed; landed 2 rows" in in_log


def test_ingest_reads_standard_input(conf: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "producer", "ingest", "-", "--conf", str(conf)]
    result = subprocess.run(command, input=(LINE + LINE[:-1]).encode(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    (path,) = landed(tmp_path)
    assert pl.read_parquet(path).select("source", "source_offset", "path").rows() == [
        ("-", 0, "/"),
        ("-", len(LINE), "/"),
    ]


def test_ingest_exits_1_for_a_file_that_is_not_there_and_lands_nothing(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINE)
    code, output = run("ingest", tmp_path / "a.log", tmp_path / "missing", "--conf", conf)
    assert code == 1
    assert "missing: no such file or folder" in output
    assert landed(tmp_path) == []


def test_ingest_exits_1_when_a_file_could_not_be_read_and_lands_the_others(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(LINE)
    (tmp_path / "b.gz").write_bytes(b"\x1f\x8b\x08")
    assert run("ingest", tmp_path / "a.log", tmp_path / "b.gz", "--conf", conf)[0] == 1
    assert [pl.read_parquet(path).height for path in landed(tmp_path)] == [1]


def test_only_one_program_follows_for_a_lake(conf: Path, tmp_path: Path) -> None:
    with lock(tmp_path / "lake" / "_ledger" / "locks", "follow"):
        code, output = run("ingest", tmp_path / "a.log", "--follow", "--conf", conf)
    assert code == 1
    assert "follow is locked by another process" in output


@pytest.mark.parametrize("command", ["follow", "standard input", "simulate"])
def test_sigterm_publishes_what_is_there_and_exits_0(conf: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "a.log").write_text(LINE)
    arguments = {
        "follow": ["ingest", str(tmp_path / "a.log"), "--follow"],
        "standard input": ["ingest", "-"],
        "simulate": ["simulate", "--rate", "50"],
    }[command]
    # A batch of one row is published at once, so that the test knows when to send the signal.
    conf.write_text(conf.read_text() + "landing: {batch_rows: 1}\n")
    started = [sys.executable, "-m", "producer", *arguments, "--conf", str(conf)]
    with subprocess.Popen(started, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(LINE.encode())
        process.stdin.flush()
        for _ in range(600):
            if landed(tmp_path) or process.poll() is not None:
                break
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert landed(tmp_path)
    # What goes on by itself has left a record, with all that it landed and its end.
    records = Ledger(Lake(tmp_path / "lake").ledger).progress()
    recorded = {name: found["progress"] for name, found in records.items() if name != INGEST_REPORT}
    files, rows = len(landed(tmp_path)), sum(pl.read_parquet(path).height for path in landed(tmp_path))
    assert {name: (r["files"], r["rows"], r["ended_at"] is None) for name, r in recorded.items()} == (
        {} if command == "standard input" else {command: (files, rows, False)}
    )
    code, output = run("status", "--conf", conf)
    first, *others = output.splitlines()
    stopped = re.fullmatch(r"(simulate|follow): stopped \d+ s ago; start it with: python -m producer .*", first)
    assert (code, stopped is None) == (1, command == "standard input")
    if command == "follow":
        assert others == ["follow: landed so far of 1 log", f"  {tmp_path / 'a.log'}: 1 line: 1 combined"]


def record(lake: Lake, name: str, **changes: Any) -> None:
    """Let a producer have recorded that it has just landed 12 files."""
    times = {"started_at": now_text(), "progress_at": now_text(), "landed_at": now_text(), "ended_at": None}
    Ledger(lake.ledger).record_progress(name, times | {"files": 12, "rows": 60_000} | changes)


def test_a_producers_status_is_a_line_and_exit_code_0_while_it_makes_progress(conf: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    code, output = run("status", "--conf", conf)
    assert (code, output.partition(";")[0]) == (1, "no producer has been started yet")
    with lock(lake.locks, "simulate"):
        record(lake, "simulate", progress_at=None)
        code, output = run("status", "--conf", conf)
        assert code == 1
        assert re.match(r"simulate: started \d+ s ago, no progress yet; ", output)
        record(lake, "simulate")
        code, output = run("status", "--conf", conf)
        assert code == 0
        assert re.fullmatch(r"simulate: 12 files, 60,000 rows landed, the last \d+ s ago\n", output)
        record(lake, "simulate", progress_at="2020-01-01T00:00:00+00:00")
        code, output = run("status", "--conf", conf)
        assert code == 1
        assert re.match(r"simulate: it is running, but its last progress was \d+ d ago \(limit 1 min\); ", output)
    code, output = run("status", "--conf", conf)
    assert code == 1
    assert re.match(r"simulate: not running, it failed or was killed after its last sign of life, \d+ d ago; ", output)


def test_a_producers_status_as_json_has_the_same_and_the_limit_is_a_setting(conf: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    conf.write_text(conf.read_text() + "limits: {producer_seconds: 1000000000}\n")
    then = "2020-01-01T00:00:00+00:00"
    with lock(lake.locks, "follow"):
        record(lake, "follow", started_at=then, progress_at=then, landed_at=then)
        code, output = run("status", "--json", "--conf", conf)
    seen = json.loads(output)
    assert datetime.fromisoformat(seen.pop("now")).tzinfo is not None
    never = {"state": "never run", "files": 0, "rows": 0, "unreadable": 0}
    never |= dict.fromkeys(("started_at", "progress_at", "landed_at", "ended_at"))
    running = {"state": "running", "started_at": then, "progress_at": then, "landed_at": then, "ended_at": None}
    assert (code, seen) == (0, {
        "data_lake": str(lake.root), "late": [], "exit_code": 0, "followed_logs": [],
        "producers": {"simulate": never, "follow": running | {"files": 12, "rows": 60_000, "unreadable": 0}},
    })  # fmt: skip


def test_a_producers_status_loads_none_of_the_large_libraries(conf: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    record(lake, "simulate")
    script = (
        "import sys\nfrom producer.__main__ import app\n"
        f"try: app(['status', '--conf', {str(conf)!r}])\nexcept SystemExit as end: print(end.code, file=sys.stderr)\n"
        "large = {'polars', 'numpy', 'pyarrow', 'deltalake', 'pandas', 'pyspark', 'faker', 'rich'}\n"
        "print(*large & set(sys.modules), file=sys.stderr)"
    )
    with lock(lake.locks, "simulate"):
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr == "0\n\n"


def test_a_producer_lands_also_where_its_progress_cannot_be_recorded(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "_ledger").touch()
    assert run("simulate", "--rate", "50", "--duration", "1", "--conf", conf)[0] == 0
    assert [pl.read_parquet(path).height > 0 for path in landed(tmp_path)] == [True]
    in_log = (tmp_path / "log" / "writer" / "producer.log").read_text()
    assert in_log.count("status will not know how simulate is doing; landing goes on: ") == 1


def test_simulate_makes_so_many_events_the_same_for_the_same_seed(conf: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("simulate", "--events", "500", "--seed", "7", "--conf", conf)[0] == 0
    first, second = (pl.read_parquet(path).drop("ingested_at") for path in landed(tmp_path))
    assert first.height == 500
    assert first.columns == [name for name in LANDED if name != "ingested_at"]
    assert first.rows() == second.rows()
    in_log = (tmp_path / "log" / "writer" / "producer.log").read_text()
    assert "made 500 events: " in in_log
    assert "; landed 500 rows in 1 files" in in_log


def test_simulate_without_a_seed_makes_other_events_each_time_and_none_ahead_of_time(
    conf: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        assert (
            run("simulate", "--events", "300", "--late", "0", "--nulls", "0", "--malformed", "0", "--conf", conf)[0]
            == 0
        )
    first, second = map(pl.read_parquet, landed(tmp_path))
    assert not set(first["event_id"]) & set(second["event_id"])
    for rows in (first, second):
        assert rows.filter(pl.col("timestamp") > pl.col("ingested_at")).height == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["simulate", "--events", "1", "--duration", "1"], 2, "exclude each other"),
        (["simulate", "--events", "-1"], 2, "--events"),
        (["simulate", "--rate", "0"], 1, "--rate = 0"),
        (["simulate", "--duplicates", "1.5"], 1, "--duplicates = 1.5"),
        (["simulate", "--format", "csv"], 2, "--format"),
        (["ingest"], 2, "PATH"),
        (["ingest", "-", "--log-format", "iis"], 2, "--log-format"),
        (["ingest", "-", "--follow"], 1, "standard input cannot be followed"),
        (["ingest", "-", "--conf", "missing.yaml"], 1, "missing.yaml: no such settings file"),
    ],
)
def test_what_cannot_be_meant_is_said_and_nothing_lands(
    conf: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    conf_option = [] if "--conf" in arguments else ["--conf", str(conf)]
    found, output = run(*arguments, *conf_option)
    assert (found, landed(tmp_path)) == (code, [])
    assert message in output


def test_help_loads_none_of_the_large_libraries() -> None:
    script = (
        "import sys\nfrom producer.__main__ import app\n"
        "try: app(['ingest', '--help'])\nexcept SystemExit: pass\n"
        "print(*{'polars', 'numpy', 'pyarrow', 'pyspark', 'faker'} & set(sys.modules), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (result.stderr, b"--follow" in result.stdout) == (b"\n", True)


# The cleaner ---------------------------------------------------------------------------------------------------------


def test_a_replay_says_what_it_did_on_the_terminal_and_in_its_log(conf: Path, tmp_path: Path) -> None:
    words = ("replay", "--reason", "no ip", "--since", "2026-01-01", "--until", "2026-01-31", "--conf", conf)
    code, output = run(*words, program=cleaner)
    assert code == 0
    assert "INFO cleaner.replay: 0 quarantined rows looked at, 0 pass: 0 merged, 0 duplicates; " in output
    assert (tmp_path / "log" / "cron" / "replay.log").read_text() == output


def test_a_replay_takes_days_in_their_order_only(conf: Path) -> None:
    code, output = run("replay", "--since", "2026-02-01", "--until", "2026-01-31", "--conf", conf, program=cleaner)
    assert (code, "--since is after --until" in output) == (2, True)
    code, output = run("replay", "--since", "yesterday", "--conf", conf, program=cleaner)
    assert (code, "'yesterday' does not match" in output) == (2, True)


def test_the_help_of_a_replay_says_which_lines_stay() -> None:
    code, output = run("replay", "--help", program=cleaner)
    assert (code, "Lines that did not parse as an access log stay" in " ".join(output.split())) == (0, True)
    assert {"--reason", "--since", "--until", "--dry-run", "--conf"} <= set(output.split())


# The consumer --------------------------------------------------------------------------------------------------------


def test_the_stream_is_healthy_when_both_queries_made_progress_since_it_was_started(conf: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    ledger = Ledger(lake.ledger)

    def status(*options: str) -> tuple[int, str]:
        return run("status", "--part", "stream", *options, "--conf", conf, program=consumer)

    for query in ("archive", "metrics"):
        ledger.touch_progress(query)  # by a process before
    assert status() == (1, "stream: it is not running; start it with: python -m consumer stream\n")
    with lock(lake.locks, "stream"):
        ledger.record_progress("stream", {})
        ledger.touch_progress("archive")
        code, output = status()
        assert code == 1
        assert re.fullmatch(r"metrics: no progress yet, the stream was started \d+ s ago\n", output)
        ledger.touch_progress("metrics")
        code, output = status()
        assert code == 0
        assert re.fullmatch(r"stream: started \d+ s ago; last progress: archive \d+ s ago, metrics \d+ s ago\n", output)
        code, output = status("--json")
    seen = json.loads(output)
    assert (code, list(seen)) == (0, ["now", "data_lake", "stream_started_at", "queries", "late", "exit_code"])
    assert (list(seen["queries"]), seen["late"], seen["exit_code"]) == (["archive", "metrics"], [], 0)


def test_the_jobs_are_healthy_once_the_merge_has_ended_well(conf: Path, tmp_path: Path) -> None:
    def status(*options: str) -> tuple[int, str]:
        return run("status", "--part", "jobs", *options, "--conf", conf, program=consumer)

    assert status() == (1, "merge: has never ended well\n")
    with Ledger(Lake(tmp_path / "lake").ledger).run("merge"):
        pass
    code, output = status()
    assert code == 0
    assert re.fullmatch(r"jobs: last ended well: merge \d+ s ago, batch never, maintain never\n", output)
    code, output = status("--json")
    seen = json.loads(output)
    assert (code, list(seen)) == (0, ["now", "data_lake", "jobs", "late", "exit_code"])
    assert (list(seen["jobs"]), seen["late"], seen["exit_code"]) == (["merge", "batch", "maintain"], [], 0)


def test_no_other_part_can_be_asked_for(conf: Path) -> None:
    code, output = run("status", "--part", "producer", "--conf", conf, program=consumer)
    assert (code, "'stream', 'jobs'" in output) == (2, True)
