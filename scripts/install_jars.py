"""Copy Delta's JARs into pyspark once, so that no session has to resolve them when it starts. I/O.

Ivy resolves them, as ``delta.configure_spark_with_delta_pip`` sets it up. What is copied belongs to Delta; the rest of
what Ivy fetches is in pyspark already.
"""

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

PATTERNS = ("io.delta_*.jar", "io.unitycatalog_*.jar")
LOG = Path(sys.prefix) / "ivy.log"
ADVICE = """\
Delta's JARs could not be fetched. What Ivy said is in {log}; its last lines:

{tail}

Ivy asks ~/.m2/repository first and then Maven Central. Look whether this machine reaches Maven Central (a proxy goes
into JAVA_TOOL_OPTIONS, as -Dhttps.proxyHost=... -Dhttps.proxyPort=...), then type: make setup"""


def main() -> int:
    """Install the JARs of the installed delta-spark, unless they are there."""
    jars = Path(pyspark.__file__).parent / "jars"
    if is_installed(jars):
        return 0
    with tempfile.TemporaryDirectory(prefix="ivy-", dir=sys.prefix) as ivy:
        try:
            with output_to(LOG):
                fetched = fetch(Path(ivy))
        except Exception:  # noqa: BLE001 - whatever it was, the log tells, and the advice is the same
            print(ADVICE.format(log=LOG, tail=tail(LOG)), file=sys.stderr)
            return 1
        install(fetched, jars)
    LOG.unlink()
    return 0


def is_installed(jars: Path) -> bool:
    """Whether the main JAR of the installed delta-spark is in ``jars``; it is the last to get there."""
    version = importlib.metadata.version("delta-spark")
    return any(jars.glob(f"io.delta_delta-spark_*-{version}.jar"))


def fetch(ivy: Path) -> Path:
    """Let Ivy fetch Delta's JARs, if need be without ``~/.m2``: an artifact that is there in part makes it fail.

    :return: the folder that they are in.
    """
    try:
        return resolve(ivy / "first")
    except Exception as error:  # noqa: BLE001 - pyspark only says that the JVM did not come up
        print(f"First try: {error}. Second try, as if ~/.m2 were empty:", flush=True)
        os.environ["SPARK_SUBMIT_OPTS"] = f"-Duser.home={ivy}"
        return resolve(ivy / "second")


def resolve(ivy: Path) -> Path:
    """Have Ivy work in ``ivy``: when a session has started, Delta's JARs are in the returned folder."""
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    configure_spark_with_delta_pip(builder.config("spark.jars.ivy", str(ivy))).getOrCreate().stop()
    return ivy / "jars"


def install(fetched: Path, jars: Path) -> None:
    """Put Delta's JARs from ``fetched`` in place of those in ``jars``, the main one last."""
    for pattern in PATTERNS:
        for old in jars.glob(pattern):
            old.unlink()
    found = [jar for pattern in PATTERNS for jar in fetched.glob(pattern)]
    for jar in sorted(found, key=lambda jar: "delta-spark" in jar.name):
        hidden = jars / f".{jar.name}"
        shutil.copyfile(jar, hidden)
        hidden.replace(jars / jar.name)


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Send standard output and error to ``log``, those of child processes too."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        with log.open("wb") as handle:
            os.dup2(handle.fileno(), 1)
            os.dup2(handle.fileno(), 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of ``log`` that tell what failed."""
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    telling = [line for line in text if line.strip() and not line.lstrip().startswith("at ")]
    return "\n".join(f"    {line[:200]}" for line in telling[-lines:])


if __name__ == "__main__":
    sys.exit(main())
