"""``delta/`` made anew from ``merged/``, which it is derived from. I/O."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from cleaner.beside_merge import beside_merge
from lakehouse.durable import sync_lake
from lakehouse.ledger import Ledger
from lakehouse.settings import Settings
from lakehouse.tables import ready_for_writing, table_facts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB = "rebuild"

log = logging.getLogger("cleaner.rebuild")


def rebuild(settings: Settings, session: "Callable[[], SparkSession]") -> None:
    """Replace ``delta/`` by all of ``merged/``, enriched by today's settings: in one commit, so that it is there all the time.

    Shares its lock with the merge: the two wait for each other.

    :param session: makes the Spark session; not called when nothing has been merged yet.
    :raises TableError: the log of a table is damaged; nothing is done.
    :raises InputError: countries cannot be looked up; nothing is done.
    """
    lake, ledger = settings.lake, Ledger(settings.lake.ledger)
    with beside_merge(settings, ledger, JOB) as run:
        has_merged, has_delta = ready_for_writing(lake.merged, lake.delta)
        if not has_merged:
            log.info("nothing to do: nothing has been merged yet")
            return
        from cleaner.delta_lake import create_record, create_tables
        from cleaner.enrich import enriched
        from cleaner.landing import forget_staged
        from lakehouse.countries import require_database

        require_database(settings.geoip.database)  # before a JVM is started
        create_record(lake)  # an older release's lacks columns
        if not has_delta:
            create_tables(settings)
        merged = session().read.format("delta").load(str(lake.merged))
        rows = merged.transform(enriched, settings.enrichment, is_bounded=False)
        # A day in one file, in time order.
        days = rows.repartition("event_date").sortWithinPartitions("event_date", "timestamp")
        writer = days.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.partitionBy("event_date").save(str(lake.delta))
        forget_staged(lake.landing)
        sync_lake(lake)  # the ledger must not outlast a power cut without the table
        facts = table_facts(lake.delta)
        run.figures |= {"rows": 0 if facts is None else facts.rows}
        log.info("delta/ made anew from merged/: %d rows", run.figures["rows"])
