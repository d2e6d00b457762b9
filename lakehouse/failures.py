"""What the machine did to a program, as an error that says what to do: no space, no permission, no memory.

Spark's errors are long, and their cause stands at the end of them; it is looked for by what the system calls it. So it is
in delta-rs's, which are the operating system's without its numbers.
"""

import errno
import re
from collections.abc import Mapping

from lakehouse.errors import PipelineError

_SPACE = "free some space on that disk, or give it more"
_OWNER = "see to the permissions and the owner of that file and its folder: all programs run as one user"
_READ_ONLY = "mount that disk writable; if it became read-only by itself, look for its faults first (dmesg)"
_MEMORY = "raise spark.driver_memory, and the memory of the machine or the container with it"
_DISK = "the disk has a fault: see dmesg"
_FILES = "raise the limit of open files (ulimit -n)"
_ADVICE = {
    errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EACCES: _OWNER, errno.EPERM: _OWNER, errno.EROFS: _READ_ONLY,
    errno.EIO: _DISK, errno.EMFILE: _FILES, errno.ENFILE: _FILES, errno.ENOMEM: _MEMORY,
}  # fmt: skip
_SYSTEM_ADVICE = {
    r"No space left on device|Disk quota exceeded": _SPACE,
    r"Permission denied|Operation not permitted|AccessDeniedException": _OWNER,
    r"Read-only file system": _READ_ONLY,
    r"Input/output error": _DISK,
    r"Too many open files": _FILES,
}
_SPARK_ADVICE = _SYSTEM_ADVICE | {
    r"java\.lang\.OutOfMemoryError[^\n]*|SparkOutOfMemoryError": _MEMORY,
    r"Python worker exited unexpectedly": f"it was killed, most likely for want of memory: {_MEMORY}",
    r"Python worker failed to connect back": f"it was killed for want of memory, or the machine was too busy to start it in time: leave Spark more of its cores, or {_MEMORY}",
    r"java\.io\.IOException: Stream closed(?=[\s\S]*PythonWorkerFactory)": f"Spark's Python daemon was killed, most likely for want of memory: {_MEMORY}",
}
_RIVAL = re.compile(r"DELTA_CONCURRENT_[A-Z_]+|ConcurrentAppendException|ConcurrentDeleteReadException")
_SERVER_GONE = re.compile(r"StatusCode\.UNAVAILABLE|RETRIES_EXCEEDED|INVALID_HANDLE\.(SESSION|OPERATION)")
_JVM_GONE = "Spark's JVM has ended in the middle of the work: killed, most likely for want of memory"
_PATH = re.compile(r"(?:^|[\s:(])(?:file:)?(/[^\s:()]+)")
_NAMED = re.compile(r"\[[A-Z_]{4,}(\.[A-Z_]+)*\]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def explained(error: BaseException) -> PipelineError | None:
    """The error for the user that ``error`` comes down to, or ``None`` if nothing is known of it.

    :param error: one of the operating system's, of delta-rs's or of Spark's. What follows is the same: run again once it is mended.
    """
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, OSError) and error.errno in _ADVICE:
        where = f"{error.filename}: " if error.filename else ""
        return PipelineError(
            f"{where}{error.strerror}: {_ADVICE[error.errno]}; then run again, it goes on where it was"
        )
    origin = type(error).__module__.split(".")[0]
    if origin in ("pyspark", "py4j", "grpc") or isinstance(error, ConnectionError):
        return _explained_spark(error)
    if type(error).__name__ == "CommitFailedError":
        return _rival("delta-rs", "a commit failed")
    if origin in ("deltalake", "_internal") or (isinstance(error, OSError) and error.errno is None):
        return _by_text("delta-rs", _COLOUR.sub("", str(error)), _SYSTEM_ADVICE)
    return None


def cause(error: BaseException) -> str:
    """The line of a long error that says most: Spark's own name for it, or what was at the bottom of it."""
    lines = str(error).splitlines() or [type(error).__name__]
    named = [line for line in lines if _NAMED.search(line)]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes[-1:] or named or lines)[0].strip()


def _by_text(who: str, text: str, advices: Mapping[str, str]) -> PipelineError | None:
    for pattern, advice in advices.items():
        if found := re.search(pattern, text):
            line = next(line for line in text.splitlines() if found[0] in line)
            path = _PATH.search(line)
            where = f"{path[1]}: " if path else ""
            return PipelineError(f"{who}: {where}{found[0]}: {advice}; then run again, it goes on where it was")
    return None


def _rival(who: str, what: str) -> PipelineError:
    return PipelineError(
        f"{who}: {what}: the same table was written at the same time, as by the rest of a run that was killed;"
        " nothing is lost or doubled, the next run goes on where it was"
    )


def _explained_spark(error: BaseException) -> PipelineError | None:
    text = str(error)
    if known := _by_text("Spark", text, _SPARK_ADVICE):
        return known
    if found := _RIVAL.search(text):
        return _rival("Spark", found[0])
    if _SERVER_GONE.search(text):
        return PipelineError(
            "the Spark that ran this job, the consumer's or spark.remote, has ended in the middle of the work; nothing is"
            " lost, the next run goes on where it was"
        )
    is_gone = isinstance(error, ConnectionError) or re.search(
        r"Answer from Java side is empty|Error while (sending|receiving)", text
    )
    return PipelineError(f"{_JVM_GONE}; {_MEMORY}; then run again, it goes on where it was") if is_gone else None
