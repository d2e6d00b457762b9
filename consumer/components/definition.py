"""What the exact figures depend on besides the requests. Plain values."""

import json
from collections.abc import Set
from dataclasses import asdict, dataclass
from hashlib import blake2b

from lakehouse.metric_columns import EXACT_TABLES
from lakehouse.settings import Settings

# It rises with each release that counts otherwise: then all days are counted anew.
METHOD = 1
DURATION_TYPES = ("double", "long")


@dataclass(frozen=True)
class Definition:
    """How requests are counted.

    :param max_values: so many paths, and referers, of a day and site have rows of their own.
    :param static_endings: a path that ends so is a static file.
    :param duration: the column of ``delta/`` whose distribution is kept by the hour; ``None`` for none.
    :param has_country: ``delta/`` knows the country of an IP.
    """

    max_values: int
    static_endings: tuple[str, ...]
    duration: str | None
    has_country: bool

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are counted."""
        return tuple(name for name in EXACT_TABLES if name != "country" or self.has_country)

    @property
    def fingerprint(self) -> str:
        """Another one means that all days are to be counted anew."""
        content = json.dumps({"method": METHOD} | asdict(self), sort_keys=True)
        return blake2b(content.encode(), digest_size=8).hexdigest()


def definition(settings: Settings, columns: Set[str]) -> Definition:
    """The definition by the settings.

    :param columns: those that ``delta/`` has.
    """
    chosen = settings.batch
    promoted = settings.promoted.get(chosen.duration)
    has_duration = promoted is not None and promoted.type in DURATION_TYPES and chosen.duration in columns
    return Definition(
        max_values=chosen.max_values,
        static_endings=chosen.static_endings,
        duration=chosen.duration if has_duration else None,
        has_country=settings.geoip.database is not None and "country" in columns,
    )
