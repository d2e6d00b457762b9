"""The logs whose lines were rejected most, by their names. Reads ``merged/`` and ``quarantine/``, each at one version. I/O."""

from collections.abc import Mapping
from pathlib import Path

from consumer.components.figures import RejectedLog
from consumer.components.table_reader import TableReader, explained
from lakehouse.duck import empty_row, files_table, files_with_days
from lakehouse.reasons import BLANK_LINE, UNPARSABLE
from lakehouse.tables import is_table

# A log is named from this share of rejected lines on. Scanners' lines, which no log is without, stay below it.
LEAST_SHARE = 0.05

_RECORD = {"source": "VARCHAR"}
_QUARANTINE = {"source": "VARCHAR", "reasons": "VARCHAR[]"}
# A row that nobody says the log of, such as a refused file's, counts for none. Of equal reasons the first by name.
_LOGS = """
    WITH rejected AS (
        SELECT source, count(*) AS rejected, count(*) FILTER (list_has_any(reasons, $unparsed)) AS unparsed
        FROM quarantined WHERE source IS NOT NULL GROUP BY source
    ), merged AS (
        SELECT source, count(*) AS merged FROM recorded WHERE source IN (SELECT source FROM rejected) GROUP BY source
    ), reasons AS (
        SELECT source, reason, count(*) AS rows
        FROM (SELECT source, unnest(reasons) AS reason FROM quarantined WHERE source IS NOT NULL) AS each GROUP BY ALL
    ), main AS (
        SELECT source, first(reason ORDER BY rows DESC, reason) AS reason FROM reasons GROUP BY source
    ), logs AS (
        SELECT source, rejected + coalesce(merged, 0) AS lines, rejected, unparsed, reason
        FROM rejected LEFT JOIN merged USING (source) LEFT JOIN main USING (source)
    )
    SELECT source, lines, rejected, unparsed, reason FROM logs WHERE rejected >= $share * lines
    ORDER BY rejected / lines DESC, rejected DESC, source LIMIT $most
"""


def rejected_logs(reader: TableReader, most: int) -> list[RejectedLog]:
    """The logs of which LEAST_SHARE or more of the lines were rejected; the largest share first.

    :param most: so many at most.
    :raises PipelineError: a table cannot be read.
    """
    lake = reader.lake
    with explained(lake.quarantine):
        _show(reader, "quarantined", lake.quarantine, _QUARANTINE)
    with explained(lake.merged):
        _show(reader, "recorded", lake.merged, _RECORD)
        parameters = {"unparsed": [UNPARSABLE, BLANK_LINE], "share": LEAST_SHARE, "most": most}
        found = reader.connection.execute(_LOGS, parameters).fetchall()
    return [RejectedLog(*row) for row in found]


def _show(reader: TableReader, name: str, path: Path, columns: Mapping[str, str]) -> None:
    """Let ``name`` be the rows of the table at ``path``, or none where there is no table. Columns that it lacks are null."""
    parts = [f"SELECT {empty_row(columns)} WHERE false"]
    if is_table(path):
        from deltalake import DeltaTable

        if files := files_with_days(DeltaTable(str(path)), path):
            parts.append(f"SELECT * FROM {files_table(files)}")
    rows = " UNION ALL BY NAME ".join(parts)
    reader.connection.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(columns)} FROM ({rows})")
