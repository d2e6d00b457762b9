"""The consumer's Spark, shared: a minute's work of the periodic jobs runs in it, and need not start a JVM. I/O.

The stream opens it by Spark Connect to those who know the token, and writes down in the lake where it is. A job that finds
nobody there has a JVM of its own; and so has one with much to do, for the stream's memory is not made for that.
"""

import atexit
import json
import logging
import os
import secrets
import socket
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from urllib.parse import quote

from pyspark.sql import SparkSession

from lakehouse.durable import write_durably
from lakehouse.errors import EngineError, LockedError
from lakehouse.lake import Lake
from lakehouse.locks import hold, is_locked, lock, release
from lakehouse.tables import latest_version

MAX_WORK_BYTES = 16 * 1024 * 1024
ANSWER_SECONDS = 3
GUEST = "shared-spark"  # the lock of the job that is in it; they take turns
GUEST_SECONDS = 20
OPENING = "shared-spark-opening"  # the lock of the consumer, from the start of its JVM until jobs are let in
OPENING_SECONDS = 60
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


def sharing_conf(host: str, conf: Mapping[str, str]) -> dict[str, str]:
    """What a JVM needs at its start to share its Spark on a free port of ``host``, which is one of its machine's names.

    :param conf: what it has besides.
    :raises EngineError: ``host`` is no name of this machine.
    """
    _require_own(host)
    return {
        "spark.plugins": ",".join(filter(None, (conf.get("spark.plugins"), PLUGIN))),
        "spark.connect.grpc.binding.address": host,
        "spark.connect.grpc.binding.port": "0",
        # What a killed job leaves behind; any other takes it along.
        "spark.connect.session.manager.defaultSessionTimeout": "10m",
    }


def announce(lake: Lake, start_conf: Mapping[str, str]) -> None:
    """Let jobs wait for a Spark that starts with ``start_conf``, if it is to be shared: until it is, or its process ends."""
    if PLUGIN in start_conf.get("spark.plugins", ""):
        with suppress(LockedError):  # two consumers that start: one of them will go
            hold(lake.locks, OPENING)


def _require_own(host: str) -> None:
    try:
        with socket.create_server((host, 0)):
            pass
    except OSError as error:
        raise EngineError(
            f"spark.shared_host: nothing can listen at {host} on this machine ({error}): set it to a name or address of"
            " this machine that the jobs reach it by, or spark.shared to false"
        ) from None


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
    for note in (lake.shared_spark, lake.shared_versions):
        note.unlink(missing_ok=True)
    write_durably(lake.shared_spark, json.dumps(asdict(door)), mode=0o600)
    release(lake.locks, OPENING)
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
    """A session in the shared Spark; ``None`` if there is none, or one that was started with other settings than ``conf``.

    Where a consumer is starting its Spark, this waits for it: a second JVM that starts beside it makes both slower.
    """
    _await_opening(lake)
    if not lake.shared_spark.exists():
        return None
    try:
        import grpc
    except ImportError:
        log.info("spark.shared needs the extra 'connect', which is not installed: starting a Spark for this job")
        return None
    with ExitStack() as guest:
        # Before the note is read: who takes it away looks for a guest then.
        guest.enter_context(lock(lake.locks, GUEST))
        door = _door(lake)
        if door is None or not _is_fit(door, lake, conf):
            return None
        try:
            _knock(door)
        except grpc.RpcError as error:
            log.info(
                "the consumer's Spark at %s:%d does not let this job in (%s): starting one for it",
                door.host, door.port, error.code().name,
            )  # fmt: skip
            return None
        return _entered(door, lake, guest.pop_all())


def _await_opening(lake: Lake) -> None:
    deadline = time.monotonic() + OPENING_SECONDS
    if is_locked(lake.locks, OPENING):
        log.info("waiting up to %d s for the consumer's Spark, which is starting", OPENING_SECONDS)
    while is_locked(lake.locks, OPENING) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _entered(door: Door, lake: Lake, guest: ExitStack) -> SparkSession:
    from pyspark.sql.connect.client.retries import DefaultPolicy

    warnings.filterwarnings("ignore", message=r"\[RETRIES_EXCEEDED\]")  # the error that follows says it
    session = SparkSession.builder.remote(door.address).getOrCreate()
    # It is on this machine, or next to it: if it is gone, nothing is gained by waiting for minutes.
    session.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES)])
    _remember_versions(lake)
    atexit.register(_leave, session, lake, guest)
    return session


def _is_fit(door: Door, lake: Lake, conf: Mapping[str, str]) -> bool:
    """Whether its sessions have our settings, and it knows no table that has been put back or made anew since.

    It keeps in mind what it has read of a table's log, and would go on from there.
    """
    if door.conf != conf:
        log.info("the consumer's Spark was started with other settings: starting one for this job")
        return False
    known = _known_versions(lake)
    if back := [name for name, version in _versions(lake).items() if version < known.get(name, -1)]:
        log.warning(
            "%s: made anew or put back since the consumer's Spark has seen it: jobs have a Spark of their own until"
            " the consumer is started again", ", ".join(back),
        )  # fmt: skip
        lake.shared_spark.unlink(missing_ok=True)
        return False
    return True


def _versions(lake: Lake) -> dict[str, int]:
    """Of the tables that jobs read and write in that Spark."""
    return {name: latest_version(lake.tables[name]) for name in ("merged", "quarantine", "delta")}


def _known_versions(lake: Lake) -> dict[str, int]:
    try:
        return {str(name): int(version) for name, version in json.loads(lake.shared_versions.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _remember_versions(lake: Lake) -> None:
    write_durably(lake.shared_versions, json.dumps(_versions(lake)))


def _door(lake: Lake) -> Door | None:
    try:
        return Door(**json.loads(lake.shared_spark.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.info("%s: cannot be read (%s): starting a Spark for this job", lake.shared_spark, error)
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


def _leave(session: SparkSession, lake: Lake, guest: ExitStack) -> None:
    """Give back what the job has over there. If it cannot, the other side does so after some minutes."""
    with guest, suppress(Exception):
        _remember_versions(lake)
        session.stop()
