"""The second engine: Sail, which speaks Spark Connect and needs no JVM. I/O.

It runs inside the job's own process. What differs between the engines, and cannot be said in a form that both take, asks
``is_sail``.
"""

import atexit
import os
from functools import cache
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession

from lakehouse.errors import EngineError

if TYPE_CHECKING:
    from pysail.spark import SparkConnectServer

# The engine's own log goes to standard error, and thereby into a job's.
LOG_LEVEL = "error"
HOST = "127.0.0.1"


def start_server(partitions: int) -> str:
    """Start Sail in the background of this process, on a free port of this machine; it ends with the process.

    :param partitions: how many tasks share a query's work, and how many files each writes into a day.
    :return: its address, for ``SparkSession.builder.remote``.
    :raises EngineError: it is not installed, or does not start; says what to do.
    """
    os.environ.setdefault("RUST_LOG", LOG_LEVEL)
    # A proxy of the environment is not for this machine.
    direct = os.environ.get("no_grpc_proxy") or os.environ.get("no_proxy")  # noqa: SIM112 - gRPC looks for small letters
    os.environ["no_grpc_proxy"] = ",".join(filter(None, (direct, HOST)))  # noqa: SIM112
    os.environ.setdefault("SAIL_EXECUTION__DEFAULT_PARALLELISM", str(partitions))
    try:
        from pysail.spark import SparkConnectServer
    except ImportError as error:
        raise EngineError(
            f"pysail is not installed ({error}), which spark.engine: sail needs; install it with: make setup, or:"
            " pip install -c constraints.txt -e '.[spark,sail]'; for containers, build the images with:"
            ' EXTRAS="spark sail" docker compose up --build; or set spark.engine to spark'
        ) from error
    server = SparkConnectServer(HOST, 0)
    try:
        server.start(background=True)
    except Exception as error:
        raise EngineError(f"Sail did not start on {HOST}: {error}; or set spark.engine to spark") from error
    address = server.listening_address
    assert address is not None
    atexit.register(_stop, server)  # this keeps it, too: without a reference it would stop at once
    return f"sc://{address[0]}:{address[1]}"


def _stop(server: "SparkConnectServer") -> None:
    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()
    server.stop()


@cache
def is_sail(spark: SparkSession) -> bool:
    """Whether this session's engine is Sail, be it in this process or a server elsewhere. It is asked, not assumed."""
    is_remote = type(spark).__module__.startswith("pyspark.sql.connect")
    return is_remote and not _engine_version(spark).startswith(spark.version)


def _engine_version(spark: SparkSession) -> str:
    """Apache Spark's begins with the version that the session states; Sail states Spark's there, and here its own."""
    version: str = spark.sql("SELECT version()").collect()[0][0]
    return version
