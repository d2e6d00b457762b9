"""A log into Parquet by ClickHouse, inside this process: ``python -m bench.peers.chdb_ingest LAKE LOG``.

It takes lines apart by the producer's own regular expression for Combined, into the columns that this has groups for. It has no
identity of lines, keeps no line that does not match, knows no other format, and publishes nothing by halves or whole.
"""

import re
import sys
from pathlib import Path

from producer.formats.combined import COMBINED

OUTPUT = "chdb.parquet"
GROUP = re.compile(r"\(\?P<(\w+)>")
# What is made of a group's text; the others stay as they are.
TYPED = {
    "time": "parseDateTimeOrNull({}, '%d/%b/%Y:%H:%i:%s %z', 'UTC') AS timestamp",
    "status": "toInt32({}) AS status",
    "bytes": "toInt64OrNull({}) AS bytes",
}


def main() -> None:
    """Write ``LAKE/chdb.parquet``."""
    import chdb

    lake, log = (Path(word) for word in sys.argv[1:])
    names = GROUP.findall(COMBINED.usual)
    columns = [TYPED.get(name, f"{{}} AS {name}").format(f"g[{n}]") for n, name in enumerate(names, start=1)]
    # Its own expressions know no names for groups.
    pattern = quoted(GROUP.sub("(", COMBINED.usual))
    lines = f"SELECT extractGroups(line, {pattern}) AS g FROM file({quoted(str(log))}, LineAsString, 'line String')"
    lake.mkdir(parents=True, exist_ok=True)
    # As the producer compresses.
    settings = "output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1"
    chdb.query(
        f"SELECT {', '.join(columns)} FROM ({lines}) WHERE notEmpty(g)"
        f" INTO OUTFILE {quoted(str(lake / OUTPUT))} FORMAT Parquet SETTINGS {settings}"
    )


def quoted(text: str) -> str:
    """A literal of ClickHouse's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


if __name__ == "__main__":
    main()
