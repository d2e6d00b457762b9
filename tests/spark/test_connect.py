"""The periodic jobs against a Spark Connect server: the same code, started as one types it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse import session
from lakehouse.errors import EngineError
from lakehouse.lake import Lake
from lakehouse.ledger import FileFigures, Ledger
from lakehouse.session import FIRST_COMPILER_ONLY, FROM_ARCHIVE, SQL_CONF, STATIC_CONF
from lakehouse.settings import Settings, unpack_settings
from tests.builders import land_json, land_parquet, landed, unparsed
from tests.engine import QUICK_CONF
from tests.tables import rows

ROOT = Path(__file__).parents[2]
START_SECONDS = 120


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a Connect server with Delta, on a free port of this machine."""
    import pyspark

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    conf = STATIC_CONF | SQL_CONF | QUICK_CONF | {
        "spark.connect.grpc.binding.port": str(port), "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1", "spark.driver.memory": "1g", "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": " ".join(["-XX:+UseSerialGC", *FIRST_COMPILER_ONLY, *FROM_ARCHIVE]),
    }  # fmt: skip
    submit = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
    words = [submit, "--master", "local[2]", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    words += [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")] + ["spark-internal"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _is_open(port):
            assert process.poll() is None, "the Connect server ended"
            assert time.monotonic() < deadline, "the Connect server does not start"
            time.sleep(0.5)
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(settings: Settings, remote: str, *words: str, **variables: str) -> None:
    environment = os.environ | variables | {
        "PIPELINE_PATHS__DATA_LAKE": str(settings.paths.data_lake), "PIPELINE_PATHS__LOG": str(settings.paths.log),
        "PIPELINE_SPARK__REMOTE": remote,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (
            {"remote": "nowhere"},
            r"no Spark Connect server answers at nowhere \(spark\.remote\): .*; start it, or set spark\.remote to null$",
        ),
        (
            {"engine": "sail"},
            r"Sail \(spark\.engine: sail\) started at no-address, but gives no session: .*or set spark\.engine to spark$",
        ),
    ],
)
def test_an_engine_that_gives_no_session_is_named_as_it_was_set(
    monkeypatch: pytest.MonkeyPatch, group: dict[str, str], message: str
) -> None:
    monkeypatch.setattr(session, "start_server", lambda _: "no-address")
    monkeypatch.setattr(os, "environ", os.environ.copy())  # pyspark leaves its mode there
    with pytest.raises(EngineError, match=f"(?s)^{message}"):
        session.spark_session(unpack_settings({"spark": group}, "test"), "test")


@pytest.mark.long
def test_merge_batch_and_replay_run_on_a_connect_server(settings: Settings, lake: Lake, server: str) -> None:
    land_parquet(lake.landing / "a.parquet", [landed("e1"), landed("e1"), unparsed("u", "x"), landed(None)])
    land_json(lake.landing / "b.json", [landed("e2", agent=None), landed("e3", status=42)])
    (lake.landing / "c.parquet").write_bytes(b"not Parquet")
    run(settings, server, "cleaner", "merge")
    assert rows(lake.merged, "event_id", "landed_file") == [("e1", "a.parquet"), ("e2", "b.json")]
    assert rows(lake.delta, "event_id", "browser", "is_bot") == [("e1", "curl", True), ("e2", None, False)]
    assert Ledger(lake.ledger).waiting_to_retire() == [
        FileFigures("a.parquet", "a.parquet", 4, 1, 1, 2, {"line does not parse": 1, "no event_id": 1}),
        FileFigures("b.json", "b.json", 2, 1, 0, 1, {"status outside 100-599": 1}),
    ]
    run(settings, server, "consumer", "batch")
    assert rows(lake.metrics("batch", "daily"), "requests") == [(2,)]
    assert rows(lake.metrics("batch", "agent"), "agent") == [("curl/7.68.0",), (None,)]
    run(settings, server, "cleaner", "replay", PIPELINE_RULES__STATUS_MIN="0")
    assert rows(lake.merged, "event_id") == rows(lake.delta, "event_id") == [("e1",), ("e2",), ("e3",)]
    assert len(rows(lake.quarantine, "event_id")) == 3
    assert Ledger(lake.ledger).waiting_to_retire()[1] == FileFigures("b.json", "b.json", 2, 2, 0, 0)
