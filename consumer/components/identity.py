"""The identity that must hold: landed = merged + duplicates + quarantined.

Counted by the ledger, recounted in the tables. Plain values: nothing is read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakehouse.ledger import FileFigures

LISTED_FILES = 5


@dataclass(frozen=True)
class Identity:
    """Rows of all merged landed files, by the ledger, and the rows of the tables.

    ``problems`` has a sentence for each way in which it does not hold.
    """

    files: int
    refused: int
    landed: int
    merged: int
    duplicates: int
    quarantined: int
    table_rows: Mapping[str, int]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every landed row is in exactly one place."""
        return not self.problems


def identity(totals: Mapping[str, int], unbalanced: Sequence[FileFigures], table_rows: Mapping[str, int]) -> Identity:
    """Compare the ledger's counts with each other and with the tables.

    :param totals: as ``Ledger.totals`` gives them.
    :param unbalanced: as ``Ledger.unbalanced_files`` gives them.
    :param table_rows: rows of ``merged``, ``quarantine`` and ``delta``; 0 for a table not made yet. One that cannot be read
        is left out, and nothing is compared with it.
    """
    landed, merged, duplicates, quarantined = (totals[name] for name in ("rows", "merged", "duplicates", "quarantined"))
    problems = []
    if landed != merged + duplicates + quarantined:
        problems.append(_unequal("all files", landed, merged, duplicates, quarantined))
    for f in unbalanced[:LISTED_FILES]:
        problems.append(_unequal(f.landed_file, f.rows, f.merged, f.duplicates, f.quarantined))
    if len(unbalanced) > LISTED_FILES:
        problems.append(f"and {len(unbalanced) - LISTED_FILES:,} more files whose rows do not add up")
    known = {"merged": merged, "quarantine": quarantined, **table_rows}
    if known["merged"] != merged:
        problems.append(f"merged/ has {known['merged']:,} rows, but {merged:,} were merged")
    if known["quarantine"] != quarantined:
        problems.append(f"quarantine/ has {known['quarantine']:,} rows, but {quarantined:,} were quarantined")
    if known.get("delta", known["merged"]) != known["merged"]:
        problems.append(f"delta/ has {known['delta']:,} rows, but merged/ has {known['merged']:,}")
    return Identity(
        totals["files"], totals["refused"], landed, merged, duplicates, quarantined, dict(table_rows), tuple(problems)
    )


def _unequal(what: str, landed: int, merged: int, duplicates: int, quarantined: int) -> str:
    return (
        f"{what}: {landed:,} rows landed, but {merged:,} merged + {duplicates:,} duplicates"
        f" + {quarantined:,} quarantined = {merged + duplicates + quarantined:,}"
    )
