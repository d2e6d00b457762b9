"""What a run may write into the ledger: figures of deliveries that account for every row exactly once."""

from collections.abc import Sequence

from lakehouse.errors import IdentityError
from lakehouse.ledger import FileFigures

LISTED_FILES = 5


def require_balance(figures: Sequence[FileFigures], advice: str, *, when: str = "") -> None:
    """See that all rows of these deliveries are merged, duplicates or quarantined.

    :param advice: what became of the files, and what to do.
    :param when: after what the rows are looked at.
    :raises IdentityError: rows are missing or doubled.
    """
    wrong = [f for f in figures if not f.is_balanced]
    if not wrong:
        return
    details = "; ".join(
        f"{f.landed_file}: {f.rows} rows, but {f.merged} merged + {f.duplicates} duplicates + {f.quarantined} quarantined"
        for f in wrong[:LISTED_FILES]
    )
    raise IdentityError(f"rows of {len(wrong)} landed files are not accounted for{when}: {details}. {advice}")
