"""Landed files as Spark sees them: those that passed the check, Parquet and NDJSON alike, each row with its delivery. I/O."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.lake import STAGED_FOLDER
from lakehouse.landed import LandedFile
from lakehouse.ndjson import landed_rows
from lakehouse.sail import is_sail
from lakehouse.schema import LANDED

# Spark's usual reader of local files trusts a hidden ``.NAME.crc`` beside one more than the file itself, and fails.
AS_IT_IS = {"fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem", "fs.file.impl.disable.cache": "true"}
GLOB_CHARACTERS = re.compile(r"([\\*?\[\]{}])")


@dataclass(frozen=True)
class Delivery:
    """A landed file after the check, and the name that this arrival of it has in the tables and the ledger."""

    landed_file: str
    file: LandedFile


def read_landed(spark: SparkSession, deliveries: Sequence[Delivery]) -> DataFrame:
    """The rows of files that are not refused: LANDED's columns and ``landed_file``."""
    if is_sail(spark):
        from cleaner.staged import read_staged

        return read_staged(spark, [(d.file, d.landed_file) for d in deliveries])
    parquet = [d for d in deliveries if not d.file.is_json]
    json = [d for d in deliveries if d.file.is_json]
    rows = []
    if parquet:
        frame = spark.read.options(**AS_IT_IS).schema(LANDED).parquet(*_paths(parquet))
        rows.append(frame.select(*LANDED.names, _landed_file(parquet)))
    if json:
        lines = spark.read.options(**AS_IT_IS).option("lineSep", "\n").text(_paths(json))
        lines = lines.select(F.col("value").alias("json"), _landed_file(json))
        rows.append(landed_rows(lines, "landed_file"))
    return rows[0] if len(rows) == 1 else rows[0].unionByName(rows[1])


def forget_staged(landing: Path) -> None:
    """Remove what a pass wrote down for itself, such as the copy that Sail read."""
    shutil.rmtree(landing / STAGED_FOLDER, ignore_errors=True)


def literal_path(path: Path) -> str:
    """``path`` as Spark must be given it: it takes some characters of a file's name for a pattern."""
    return GLOB_CHARACTERS.sub(r"\\\1", str(path.absolute()))


def _paths(deliveries: Sequence[Delivery]) -> list[str]:
    return [literal_path(d.file.path) for d in deliveries]


def _landed_file(deliveries: Sequence[Delivery]) -> Column:
    """The delivery's name, which differs from the file's only when that came before."""
    # Spark gives it as in a URL; url_decode would also take a plus for a blank.
    name = F.url_decode(F.regexp_replace("_metadata.file_name", r"\+", "%2B"))
    renamed = {d.file.path.name: d.landed_file for d in deliveries if d.landed_file != d.file.path.name}
    if renamed:
        pairs = [F.lit(text) for pair in renamed.items() for text in pair]
        name = F.coalesce(F.try_element_at(F.create_map(*pairs), name), name)
    return name.alias("landed_file")
