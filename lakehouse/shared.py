"""The consumer's Spark, shared: a minute's work of the periodic jobs runs in it, and need not start a JVM. I/O.

The stream opens it by Spark Connect to those who know the token, and writes down in the lake where it is. A job that finds
nobody there has a JVM of its own; and so has one with much to do, for the stream's memory is not made for that.
"""

import atexit
import json
import logging
import os
import secrets
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from urllib.parse import quote

from pyspark.sql import SparkSession

from lakehouse.durable import write_durably
from lakehouse.lake import Lake
from lakehouse.locks import hold, is_locked

MAX_WORK_BYTES = 16 * 1024 * 1024
ANSWER_SECONDS = 3
GUEST = "shared-spark"  # the lock of the job that is in it; they take turns
GUEST_SECONDS = 25
POLL_SECONDS = 0.2
RETRIES = 2
SERVICE = "org.apache.spark.sql.connect.service.SparkConnectService$"
TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
PLUGIN = "org.apache.spark.sql.connect.SparkConnectPlugin"

log = logging.getLogger("lakehouse.shared")


@dataclass(frozen=True)
class Door:
    """Where the shared Spark is, what opens it, and which settings its sessions have."""

    host: str
    port: int
    token: str
    conf: dict[str, str]

    @property
    def address(self) -> str:
        """For ``SparkSession.builder.remote``. The token goes as a header: given as one it would ask for TLS."""
        return f"sc://{self.host}:{self.port}/;authorization={quote(self.word)}"

    @property
    def word(self) -> str:
        """The header that opens it."""
        return f"Bearer {self.token}"


@contextmanager
def new_token() -> Iterator[str]:
    """A secret that opens each Spark which is started as long as this lasts.

    It goes by the environment: the words of a process are for all to read.
    """
    os.environ[TOKEN_VARIABLE] = token = secrets.token_urlsafe(32)
    try:
        yield token
    finally:
        del os.environ[TOKEN_VARIABLE]


def sharing_conf(host: str) -> dict[str, str]:
    """What a JVM needs at its start to share its Spark on a free port of ``host``, which is one of its machine's names."""
    return {
        "spark.plugins": PLUGIN,
        "spark.connect.grpc.binding.address": host,
        "spark.connect.grpc.binding.port": "0",
        # What a killed job leaves behind; any other takes it along.
        "spark.connect.session.manager.defaultSessionTimeout": "10m",
    }


@contextmanager
def shared(spark: SparkSession, lake: Lake, host: str, token: str, conf: dict[str, str]) -> Iterator[None]:
    """Tell the jobs where ``spark`` is, as long as this lasts. A job that is in it then may come to its end.

    :param spark: started with ``sharing_conf`` and ``token``.
    :param conf: the settings that its sessions have.
    """
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    service = getattr(getattr(jvm, SERVICE), "MODULE$")  # as a Scala object is called in Java
    port = service.localPort()
    door = Door(host, port, token, conf)
    lake.shared_spark.unlink(missing_ok=True)
    write_durably(lake.shared_spark, json.dumps(asdict(door)), mode=0o600)
    try:
        yield
    finally:
        lake.shared_spark.unlink(missing_ok=True)
        _see_off_guest(lake)


def _see_off_guest(lake: Lake) -> None:
    deadline = time.monotonic() + GUEST_SECONDS
    if is_locked(lake.locks, GUEST):
        log.info("waiting for the job that runs in this Spark")
    while is_locked(lake.locks, GUEST) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def attach(lake: Lake, conf: dict[str, str]) -> SparkSession | None:
    """A session in the shared Spark; ``None`` if there is none, or one that was started with other settings than ``conf``."""
    door = _door(lake)
    if door is None or door.conf != conf:
        return None
    try:
        import grpc
    except ImportError:
        log.info("spark.shared needs the extra 'connect', which is not installed: starting a Spark for this job")
        return None
    try:
        _knock(door)
    except grpc.RpcError as error:
        log.info(
            "the consumer's Spark at %s:%d does not let this job in (%s): starting one for it",
            door.host, door.port, error.code().name,
        )  # fmt: skip
        return None
    from pyspark.sql.connect.client.retries import DefaultPolicy

    hold(lake.locks, GUEST)
    warnings.filterwarnings("ignore", message=r"\[RETRIES_EXCEEDED\]")  # the error that follows says it
    session = SparkSession.builder.remote(door.address).getOrCreate()
    # It is on this machine, or next to it: if it is gone, nothing is gained by waiting for minutes.
    session.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES)])
    atexit.register(_leave, session)
    return session


def _door(lake: Lake) -> Door | None:
    try:
        return Door(**json.loads(lake.shared_spark.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _knock(door: Door) -> None:
    """See whether the door opens, by asking for nothing.

    :raises grpc.RpcError: nobody is there, or the token is another's.
    """
    import grpc
    from pyspark.sql.connect.proto import ReleaseSessionRequest, SparkConnectServiceStub

    with grpc.insecure_channel(f"{door.host}:{door.port}") as channel:
        service = SparkConnectServiceStub(channel)  # type: ignore[no-untyped-call]
        nobodys = ReleaseSessionRequest(session_id=str(uuid.uuid4()))
        service.ReleaseSession(nobodys, metadata=[("authorization", door.word)], timeout=ANSWER_SECONDS)


def _leave(session: SparkSession) -> None:
    """Give back what the job has over there. If it cannot, the other side does so after some minutes."""
    with suppress(Exception):
        session.stop()
