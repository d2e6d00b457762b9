"""No string from a log becomes part of a query, a path, a shell line or a terminal's orders (docs/threats.md)."""

import ast
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from cleaner.merge import merge
from consumer import monitor
from consumer import report as reports
from consumer.batch import refresh
from lakehouse.lake import Lake, left_alone, waiting_files
from lakehouse.logs import configure
from lakehouse.settings import Settings
from tests.builders import land_json, land_parquet, landed, unparsed
from tests.faults.machine import ROOT, run, settings_file
from tests.tables import rows

# What a visitor may send, in a request line, an agent, a referer, a host or a field of JSON.
HOSTILE = [
    "'; DROP TABLE merged; --", '" OR "1"="1', "`x`) AS t USING y --", "x'||(SELECT count(*) FROM figures)||'",
    "../../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "event_date=2024-05-17/part-0.parquet", "C:\\x:y", "~root/.ssh",
    "$(touch pwned)", "`touch pwned`", "; touch pwned #", "| touch pwned", "&& touch pwned", "%0atouch pwned", "* * * * * touch pwned",
    "${jndi:ldap://127.0.0.1/x}", "${env:HOME}", "%(message)s %s %n %d", "{0} {x} {{y}}", "{% x %}",
    "[bold red]x[/]", "[link=file:///etc]x[/link]", "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\x00nul", "a\rb", "a\tb",
    "x\n2026-01-01 00:00:00,000 ERROR cleaner: forged", "\u2028forged", "\u202egpj.exe", "\ufeffbom", "=cmd|' /C calc'!A0", "<script>alert(1)</script>",
    "!!python/object/apply:os.system [id]", "&a [*a, *a]", "-rf", "--conf=/etc/passwd", "é漢😀",
]  # fmt: skip
FIELDS = ("agent", "referer", "path", "query", "method", "protocol", "user", "site", "source")


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def is_harmless(text: str) -> bool:
    """Whether no character of ``text`` but its line breaks acts on a terminal."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """A log as the programs configure it."""
    yield tmp_path / "log" / "program.log"
    logging.basicConfig(force=True, handlers=[logging.NullHandler()])


@pytest.mark.spark
def test_hostile_strings_stay_data_from_landing_to_report(
    settings: Settings, lake: Lake, spark: SparkSession, tmp_path: Path, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configure("cleaner", log_file)
    sent = [landed(f"{n}-{field}", **{field: text}) for n, text in enumerate(HOSTILE) for field in FIELDS]
    ids = [landed(text, agent="by id") for text in HOSTILE]
    ips = [landed(f"ip{n}", ip=text, agent="by ip") for n, text in enumerate(HOSTILE)]
    land_json(lake.landing / "$(touch pwned) `x` '\"; DROP.json", sent[::2] + ids)
    land_parquet(lake.landing / "x'); --%s${jndi:x}.parquet".replace(":", ""), sent[1::2] + ips)
    land_json(lake.landing / "raw.json", [unparsed(f"u{n}", text) for n, text in enumerate(HOSTILE)])
    (lake.landing / "x\n2026-01-01 ERROR forged\x1b[2J.csv").write_text("refused")
    pq.write_table(pa.table({"'; DROP\x1b[2J\nforged": ["x"]}), lake.landing / "columns.parquet")

    merge(settings, lambda: spark)
    refresh(settings)
    seen = reports.report(settings)
    assert seen.identity.holds

    # Every string is there as it came, but for the blanks around it.
    expected = [tuple(_cleaned(row[c], c) for c in ("event_id", *FIELDS)) for row in [*sent, *ids, *ips]]
    assert rows(lake.merged, "event_id", *FIELDS) == sorted(expected, key=repr)
    assert rows(lake.delta, "event_id", *FIELDS) == sorted(expected, key=repr)
    assert [raw for _, raw in rows(lake.quarantine, "event_id", "raw") if raw is not None] == [
        raw for _, raw in sorted(((f"u{n}", text) for n, text in enumerate(HOSTILE)), key=repr)
    ]
    by_ip = {row[0] for row in rows(lake.metrics("batch", "ip"), "ip")}
    assert by_ip == {_cleaned(text, "ip") for text in HOSTILE} | {"192.0.2.1"}

    # Nothing was made but what the lake has by its own names.
    own = r"(_ledger|logs_to_merge|merged|delta|quarantine|metrics)(/[\w.=-]+)*"
    strange = [name for name in everything_in(lake.root) if not re.fullmatch(own, name)]
    strange = [name for name in strange if not name.startswith(("logs_to_merge/", "quarantine/_files/"))]
    assert strange == []
    days = {part for name in everything_in(lake.root) for part in name.split("/") if "event_date" in part}
    assert days == {"event_date=2024-05-17"}
    assert sorted(p.name for p in lake.refused_files.iterdir()) == [
        "columns.parquet",
        "x\n2026-01-01 ERROR forged\x1b[2J.csv",
    ]
    assert everything_in(tmp_path / "log") == ["program.log"]
    assert not list(tmp_path.rglob("pwned"))

    # What a person sees of it is text.
    lines = log_file.read_text(encoding="utf-8")
    assert is_harmless(lines)
    assert "x\\n2026-01-01 ERROR forged\\x1b[2J.csv is refused" in lines
    assert not any(line.startswith("2026-01-01") for line in lines.splitlines())
    for shown in (reports.render(seen), monitor.render(monitor.status(settings, datetime.now(UTC)))):
        console = Console(width=200, highlight=False, color_system=None)
        with console.capture() as capture:
            console.print(shown)
        assert is_harmless(capture.get())
    assert json.dumps(reports.as_json(seen)).isascii()


def _cleaned(text: str | None, column: str) -> str | None:
    if text is None or column in ("event_id", "source"):
        return text
    trimmed = text.strip(" ")
    return None if trimmed in ("", "-") else trimmed


# Each way in by itself -------------------------------------------------------------------------------------------------


def test_a_hostile_log_says_nothing_of_its_own_on_the_producers_terminal_or_in_its_log(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    lines = [f'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /{n} HTTP/1.1" 200 1 "-" "x"' for n in range(3)]
    hostile = [text.replace("\n", " ").replace("\r", " ") for text in HOSTILE]
    for number, name in enumerate(("a\nERROR forged\x1b[2J.log", "$(touch pwned);`x`.log", "[bold]%s.log")):
        (logs / name).write_text("\n".join([lines[number], *hostile]) + "\n")
    conf = settings_file(tmp_path, tmp_path / "lake")
    code, said = run("producer", "ingest", logs, "--conf", conf, "--site", "'; DROP \x1b[2J")
    assert (code, is_harmless(said)) == (0, True)
    _, missing = run("producer", "ingest", logs / "none\x1b[2J\nforged", "--conf", conf)
    assert "none\\x1b[2J; forged: no files there" in missing
    assert is_harmless(missing)
    assert is_harmless((tmp_path / "log" / "writer" / "producer.log").read_text())
    pattern = r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}-\d{6}\.parquet"
    assert all(re.fullmatch(pattern, path.name) for path in Lake(tmp_path / "lake").landing.iterdir())
    assert not list(tmp_path.rglob("pwned"))


def test_what_the_archives_source_says_of_a_file_is_one_harmless_line(lake: Lake) -> None:
    lake.landing.mkdir(parents=True)
    (lake.landing / "x\n2026-01-01 ERROR forged\x1b[2J.csv").write_text("x")
    code = (
        "import sys; from consumer.components.landed_source import LandedStreamReader\n"
        "LandedStreamReader({'path': sys.argv[1], 'checkpoint': sys.argv[2], 'max_files': '9'}).latestOffset()"
    )
    words = [sys.executable, "-c", code, str(lake.landing), str(lake.checkpoint("archive"))]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    reason = "unknown kind of file '.csv', expected .json, .jsonl, .ndjson, .parquet"
    assert said == (f"x\\n2026-01-01 ERROR forged\\x1b[2J.csv is refused, the cleaner quarantines it: {reason}\n")


@pytest.mark.spark
def test_what_sparks_jvm_logs_is_one_harmless_line(spark: SparkSession) -> None:
    conf = (ROOT / "conf" / "log4j2.properties").read_text()
    pattern = re.search(r"^appender\.stderr\.layout\.pattern = (.*)$", conf, re.MULTILINE)
    assert pattern is not None
    log4j: Any = spark.sparkContext._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    layout = log4j.core.layout.PatternLayout.newBuilder().withPattern(pattern[1].replace("\\\\", "\\")).build()
    message = log4j.message.SimpleMessage("agent " + "".join(HOSTILE))
    event = (
        log4j.core.impl.Log4jLogEvent.newBuilder()
        .setLoggerName("x")
        .setMessage(message)
        .setLevel(log4j.Level.WARN)
        .build()
    )
    line = layout.toSerializable(event)
    assert line.count("\n") == 1
    assert is_harmless(line)
    assert "[2J" in line


def test_a_link_is_left_alone_and_not_followed(lake: Lake, tmp_path: Path) -> None:
    secret = land_json(tmp_path / "secret.json", [landed("e1")])
    lake.landing.mkdir(parents=True)
    (lake.landing / "a.json").symlink_to(secret)
    assert waiting_files(lake.landing) == []
    assert left_alone(lake.landing) == [lake.landing / "a.json"]


# The sources ----------------------------------------------------------------------------------------------------------

SOURCES = sorted(
    path for name in ("lakehouse", "producer", "consumer", "cleaner") for path in (ROOT / name).rglob("*.py")
)

# Everything that is put into the text of a query, by file: tables' paths, ranges of time, days, names of columns.
PARTS_OF_QUERIES = {
    "lakehouse/rules.py": {"FIRST_TIME", "LAST_TIME"},
    # The columns are the schema's, and the names of promoted ones, which the settings restrict to letters, digits and _.
    "cleaner/insert.py": {
        "table(path)", "' AND '.join(conditions)", "', '.join(columns)", "', '.join((f's.{name}' for name in columns))",
    },
    "cleaner/steps.py": {"is_uncommon"},
    "cleaner/stored.py": {"among", "condition", "columns", "is_same"},
    "cleaner/replay_rows.py": {"IS_ROW", "table(quarantine)"},
    "cleaner/maintain.py": {"table(path)", "where"},
    "consumer/components/counter.py": {"name", "query", "', '.join(EXACT_TABLES[name].columns)"},
    "consumer/components/day_panels.py": {"names"},
    "consumer/components/rejected_logs.py": {"name", "rows", "', '.join(columns)"},
    "consumer/components/response_times.py": {"condition", "limit"},
    "consumer/components/table_reader.py": {"relation"},
    "consumer/page/pipeline.py": {"QUARANTINED_ROWS"},
    "consumer/page/reader.py": {"column", "number"},
    "consumer/page/rollups.py": {"dropped.table", "query", "table"},
    "lakehouse/ledger.py": {"columns", "condition", "last", "EVERY", "FOLDABLE", "IS_BALANCED"},
}  # fmt: skip
QUERYING = frozenset(
    {
        "sql", "execute", "executemany", "executescript", "selectExpr", "expr", "where", "filter", "_query", "query", "rows",
        "stream",
    }
)  # fmt: skip


def _called(call: ast.Call) -> str:
    return (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else call.func.id
        if isinstance(call.func, ast.Name)
        else ""
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_queries_are_put_together_only_from_the_parts_listed_here(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) in QUERYING):
        for argument in call.args:
            if isinstance(argument, ast.JoinedStr):
                found |= {ast.unparse(v.value) for v in argument.values if isinstance(v, ast.FormattedValue)}
    assert found == PARTS_OF_QUERIES.get(str(path.relative_to(ROOT)), set())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_program_runs_a_shell_or_code_that_it_has_read(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    forbidden = {
        "eval",
        "exec",
        "system",
        "popen",
        "getoutput",
        "load_module",
        "unsafe_load",
        "full_load",
        "loads_pickle",
    }
    assert [ast.unparse(call) for call in calls if _called(call) in forbidden] == []
    assert [
        ast.unparse(c) for c in calls for k in c.keywords if k.arg == "shell" and ast.unparse(k.value) != "False"
    ] == []
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported.isdisjoint({"pickle", "marshal", "shelve", "dill", "cloudpickle"})
