"""The Spark session: a JVM of our own (local or on a cluster), Sail in this process, or a Spark Connect server. I/O."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyspark
from pyspark.core import context
from pyspark.sql import SparkSession

from lakehouse.errors import EngineError, LockedError
from lakehouse.fixed_conf import FIXED_SQL, FIXED_STATIC, values
from lakehouse.locks import hold
from lakehouse.sail import is_sail, start_server
from lakehouse.settings import Settings
from lakehouse.shared import MAX_WORK_BYTES, announce, attach
from lakehouse.tables import SMALL_BYTES

MIN_JAVA = 17
TURN = "spark-job"
TURN_SECONDS = 600  # how long a periodic job waits for another one
# Some two million landed rows. With five million the second compiler nearly halves the time; with a minute's it only costs.
SHORT_WORK_BYTES = 64 * 1024 * 1024
LOG4J = Path("conf/log4j2.properties")

# Settings that any session takes, a remote one too.
SQL_CONF = values(FIXED_SQL) | {
    "spark.databricks.io.skipping.mdc.sortWithinFiles": "true",  # OPTIMIZE in time order: inside files too
    "spark.databricks.delta.optimize.minFileSize": str(SMALL_BYTES),
    "spark.databricks.delta.optimize.maxFileSize": str(2 * SMALL_BYTES),
    "spark.databricks.delta.snapshotPartitions": "2",  # 50 by default: seconds for each commit on one machine
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    # No empty batch after each one to let go of old state: the next one with rows does it.
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    # Each compaction of logs/_spark_metadata/ writes all of it anew: not for every tenth batch.
    "spark.sql.streaming.fileSink.log.compactInterval": "100",
    # Memory outside the heap is bounded by the buffers of each partition, not by one cache for all: that one would hold the
    # indexes and filters too, and with some millions of identities each look-up would read them from disk.
    "spark.sql.streaming.stateStore.rocksdb.writeBufferSizeMB": "16",
    "spark.sql.streaming.stateStore.rocksdb.maxWriteBufferNumber": "3",
    # Nobody needs the number of remembered identities, and to count them each write is a look-up too.
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    # Less to write for each batch.
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
}
# Settings that only a JVM at its start takes.
STATIC_CONF = values(FIXED_STATIC) | {
    # Each operator of each task takes a page at least. By default it is sixteen times as large here, and most of it stays empty.
    "spark.buffer.pageSize": "1m",
    "spark.ui.enabled": "false",
    "spark.log.level": "WARN",
    "spark.ui.showConsoleProgress": "false",
    # Compiled code of queries that come again with each batch: there are more of them than the usual hundred.
    "spark.sql.codegen.cache.maxEntries": "500",
}
# The classes that Spark loads, archived at set-up. A JVM of another version goes without, and says nothing.
CLASS_ARCHIVE = Path(pyspark.__file__).parent / "spark-classes.jsa"
FROM_ARCHIVE = ("-Xlog:cds*=off", f'"-XX:SharedArchiveFile={CLASS_ARCHIVE}"')
# Most of what a heap grows by otherwise is room for garbage: it begins small, and keeps a fifth to two fifths free.
SMALL_HEAP = ("-XX:+UseSerialGC", "-XX:InitialHeapSize=96m", "-XX:MinHeapFreeRatio=20", "-XX:MaxHeapFreeRatio=40")
# Without the second compiler a JVM reserves 48 MB for compiled code; when these are full it compiles no more, or dies.
FIRST_COMPILER_ONLY = ("-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m")

log = logging.getLogger("lakehouse.session")


def job_session(
    settings: Settings, app_name: str, *, needs_spark: bool = False, work_bytes: Callable[[], int | None] | None = None
) -> SparkSession:
    """The session of a periodic job, which ends with its process.

    Jobs have Spark one after the other: side by side on one machine they only slow each other down, and need twice the
    memory. Locks on tables are taken before, so that no two jobs wait for each other.

    :param work_bytes: how much the job has to read (``None``: no telling), asked once it is its turn: the job before it may
        have left it more. If it is little, it may be done in the consumer's Spark.
    :param needs_spark: the job does what Sail cannot: with ``spark.engine: sail`` it has a JVM of its own.
    :raises LockedError: another job kept its turn for longer than ``TURN_SECONDS``.
    :raises EngineError: as ``spark_session``.
    """
    wants_sail = settings.spark.engine == "sail"
    is_driver_ours = wants_sail and needs_spark and not settings.spark.remote
    size: int | None = None
    if is_driver_ours or not (wants_sail or settings.spark.remote):
        try:
            hold(settings.lake.locks, TURN)
        except LockedError:
            log.info("waiting for another job to leave Spark to this one")
            hold(settings.lake.locks, TURN, wait_seconds=TURN_SECONDS)
        size = work_bytes() if work_bytes is not None else None
        if settings.spark.shared and not needs_spark and size is not None and size <= MAX_WORK_BYTES:
            session = attach(settings.lake, session_conf(settings))
            if session is not None:
                return session
    is_short = size is not None and size <= SHORT_WORK_BYTES
    session = spark_session(settings, app_name, is_driver_ours=is_driver_ours, is_short=is_short)
    if needs_spark and is_sail(session):
        raise EngineError(
            f"spark.remote ({settings.spark.remote}) is a server of Sail, which cannot do this: "
            f"for {app_name}, set spark.remote to null or to a server of Apache Spark"
        )
    return session


def session_conf(settings: Settings) -> dict[str, str]:
    """What any session has, wherever its engine is."""
    spark = settings.spark
    return SQL_CONF | {"spark.sql.shuffle.partitions": str(spark.shuffle_partitions)} | spark.conf


def spark_session(
    settings: Settings,
    app_name: str,
    *,
    is_driver_ours: bool = False,
    is_short: bool = False,
    start_conf: dict[str, str] | None = None,
) -> SparkSession:
    """A session by ``settings.spark``.

    :param is_driver_ours: a JVM of our own even where ``spark.remote`` names a server or ``spark.engine`` is Sail, for
        streaming queries and for what Sail cannot do.
    :param start_conf: what else a JVM of our own is started with.
    :param is_short: a local JVM does without the second compiler, whose work would not pay off.
    :raises EngineError: no Java, no Delta JARs, no Sail, or a Connect server that does not answer; says what to do.
    """
    spark = settings.spark
    conf = session_conf(settings)
    if spark.remote and not is_driver_ours:
        failure = f"no Spark Connect server answers at {spark.remote} (spark.remote)"
        return _remote_session(spark.remote, conf, failure, "start it, or set spark.remote to null")
    if spark.engine == "sail" and not is_driver_ours:
        address = start_server(spark.shuffle_partitions)
        failure = f"Sail (spark.engine: sail) started at {address}, but gives no session"
        return _remote_session(address, conf, failure, "report it with these lines, or set spark.engine to spark")
    _require_java()
    _require_delta_jars()
    announce(settings.lake, start_conf or {})
    # Spark's Python workers must be this interpreter: the one on PATH has none of the packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # A JVM opens no file whose name its locale cannot spell, and in the plain C locale that is any with an accent.
    os.environ["LC_ALL"] = "C.UTF-8"
    builder = SparkSession.builder.appName(app_name).master(spark.master)
    conf = STATIC_CONF | {
        "spark.driver.memory": spark.driver_memory,
        "spark.driver.extraJavaOptions": " ".join(_java_options(is_local=spark.master.startswith("local"), is_short=is_short)),
    } | conf | (start_conf or {})  # fmt: skip
    if spark.master.startswith("local"):
        conf = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} | conf
    for key, value in conf.items():
        builder = builder.config(key, value)
    try:
        with _ctrl_c_is_ours():
            return builder.getOrCreate()
    except Exception as error:
        raise EngineError(f"Spark did not start on {spark.master}: {error}") from error


@contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """Keep a Spark context from taking Ctrl-C for itself, as it does in a main thread, with tracebacks for an end."""
    theirs = vars(context)["signal"]
    setattr(context, "signal", SimpleNamespace(SIGINT=signal.SIGINT, signal=lambda *_: None))  # noqa: B010
    try:
        yield
    finally:
        setattr(context, "signal", theirs)  # noqa: B010


def _java_options(*, is_local: bool, is_short: bool) -> list[str]:
    options = list(FROM_ARCHIVE) if CLASS_ARCHIVE.exists() else []
    if is_local:
        options += [*SMALL_HEAP, *(FIRST_COMPILER_ONLY if is_short else ())]
    if LOG4J.exists():
        options.append(f"-Dlog4j2.configurationFile={LOG4J.absolute().as_uri()}")
    return options


def _remote_session(remote: str, conf: dict[str, str], failure: str, advice: str) -> SparkSession:
    """A session on the server at ``remote``; ``failure`` says what went wrong there by what the user set."""
    try:
        session = SparkSession.builder.remote(remote).getOrCreate()
        for key, value in conf.items():
            session.conf.set(key, value)
    except Exception as error:
        raise EngineError(f"{failure}: {error}; {advice}") from error
    return session


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    advice = "install it with: make setup, or: apt-get install openjdk-17-jre-headless"
    if java is None:
        raise EngineError(f"no Java runtime on PATH and JAVA_HOME is not set: Spark needs Java {MIN_JAVA}; {advice}")
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineError(f"{java} does not run: {error}; {advice}") from None
    version = re.search(r'version "(\d+)', answer)
    if version and int(version[1]) < MIN_JAVA:
        raise EngineError(f"{java} is Java {version[1]}, Spark needs {MIN_JAVA} or newer; {advice}")


def _require_delta_jars() -> None:
    jars = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent) / "jars"
    if not any(jars.glob("*delta-spark*.jar")):
        raise EngineError(f"Delta's JARs are not in {jars}; install them with: make setup")
