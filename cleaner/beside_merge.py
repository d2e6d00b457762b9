"""Jobs that share the tables with the merge: each waits for the other, and what waited in vain is written down, too. I/O."""

from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse.ledger import Ledger, Run
from lakehouse.locks import lock
from lakehouse.settings import Settings

MERGE = "merge"


@contextmanager
def beside_merge(settings: Settings, ledger: Ledger, job: str) -> Iterator[Run]:
    """Record a run of ``job``, and hold its lock and the merge's.

    The run begins before the wait: one that gives up has failed, and ``status`` says so.

    :raises LockedError: another process runs ``job``, or holds the merge's lock for longer than ``merge.lock_seconds``.
    """
    locks = settings.lake.locks
    with lock(locks, job), ledger.run(job) as run, lock(locks, MERGE, wait_seconds=settings.merge.lock_seconds):
        yield run
