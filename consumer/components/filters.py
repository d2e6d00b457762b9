"""Which requests a report is about. Plain values."""

import ipaddress
from dataclasses import dataclass
from datetime import date

# In place of a site's name: requests without a site. No site is called so: the cleaner makes it null.
NO_SITE = "-"
# The same for any other column: a request without a referer, say.
NO_VALUE = "-"
# The columns, besides ``site`` and ``is_bot``, that a filter can name a value of.
VALUE_COLUMNS = (
    "path", "ip", "agent", "status", "status_class", "method", "referer", "referer_host", "browser", "os", "device", "bot",
    "bot_class", "country",
)  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """Which requests: by default all.

    :param site: those of this site; ``NO_SITE`` for those without one, ``None`` for all.
    :param first: from this day (UTC) on.
    :param last: up to this day, which is one of them.
    :param is_bot: those of bots, or those of humans; ``None`` for both.
    :param values: those with these values, as pairs of one of ``VALUE_COLUMNS`` and a text; ``NO_VALUE`` for none.
    """

    site: str | None = None
    first: date | None = None
    last: date | None = None
    is_bot: bool | None = None
    values: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.first and self.last and self.first > self.last:
            raise ValueError(f"the first day, {self.first}, is after the last, {self.last}")
        if unknown := {column for column, _ in self.values} - set(VALUE_COLUMNS):
            raise ValueError(f"no filter for {', '.join(sorted(unknown))}; allowed: {', '.join(VALUE_COLUMNS)}")

    @property
    def has_range(self) -> bool:
        """Whether some days are left out."""
        return bool(self.first or self.last)

    @property
    def is_by_request(self) -> bool:
        """Whether some requests of a day are left out: a table by day alone cannot answer then."""
        return self.site is not None or self.is_bot is not None

    @property
    def site_condition(self) -> str:
        """The condition on the column ``site``, in SQL."""
        return "true" if self.site is None else "site IS NULL" if self.site == NO_SITE else "site = $site"

    @property
    def condition(self) -> str:
        """The conditions on the columns ``site`` and ``is_bot``, in SQL. Those on days are the reader's."""
        kind = {None: "true", True: "is_bot", False: "NOT is_bot"}[self.is_bot]
        return f"{self.site_condition} AND {kind}"

    @property
    def parameters(self) -> dict[str, str]:
        """What the conditions leave open: a name that somebody typed is never part of a query's text."""
        return {} if self.site in (None, NO_SITE) else {"site": str(self.site)}

    @property
    def value_columns(self) -> frozenset[str]:
        """The columns that ``values`` are of."""
        return frozenset(column for column, _ in self.values)

    @property
    def text(self) -> str:
        """The filters in words; empty where there are none."""
        words = []
        if self.site is not None:
            words.append("without a site" if self.site == NO_SITE else f"site {self.site}")
        if self.first is not None and self.first == self.last:
            words.append(f"on {self.first}")
        elif self.has_range:
            words += [f"{word} {day}" for word, day in (("from", self.first), ("to", self.last)) if day]
        if self.is_bot is not None:
            words.append("bots alone" if self.is_bot else "humans alone")
        return ", ".join(words)


def spellings(column: str, value: str) -> tuple[str, ...]:
    """The texts in a column that a filter's value stands for. Servers write IPv6 in several ways, and logs keep what they wrote."""
    if column != "ip":
        return (value,)
    try:
        address = ipaddress.ip_address(value.strip(" []"))
    except ValueError:
        return (value,)
    if isinstance(address, ipaddress.IPv4Address) or address.scope_id is not None:
        return tuple(dict.fromkeys((value, str(address))))
    if address.ipv4_mapped is not None:  # it is landed as IPv4
        return value, str(address.ipv4_mapped)
    groups = ":".join(f"{int(group, 16):x}" for group in address.exploded.split(":"))
    written = (address.compressed, groups, address.exploded)
    return tuple(dict.fromkeys((value, *written, *(text.upper() for text in written))))


EVERYTHING = Filters()
