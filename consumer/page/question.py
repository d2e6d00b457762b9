"""What somebody asks the page, as its address says it: read from a query string, and written into links. Plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from consumer.components.filters import EVERYTHING, VALUE_COLUMNS, Filters
from consumer.page.local_days import zone_names

Granularity = Literal["hour", "day", "week", "month"]
Comparison = Literal["none", "previous", "weekdays"]
WHO: Mapping[str, bool | None] = {"all": None, "humans": False, "bots": True}
# Days of a named range, the last of them today.
RANGES = {"today": 1, "yesterday": 1, "7d": 7, "30d": 30, "90d": 90, "12m": 365}
RANGE_TITLES = {
    "today": "Today", "yesterday": "Yesterday", "7d": "7 days", "30d": "30 days", "90d": "90 days", "12m": "12 months", "all": "All",
}  # fmt: skip
# Parameters that filter by a value. `status` takes a code or a class (404, 4xx).
VALUE_PARAMETERS = tuple(column for column in VALUE_COLUMNS if column != "status_class")
LIST_PARAMETERS = ("search", "sort", "limit", "offset")
PARAMETERS = ("from", "to", "range", "tz", "site", "who", "by", "compare", *VALUE_PARAMETERS, *LIST_PARAMETERS)
MAX_TEXT = 4096
MAX_ADDRESS = 64_000  # such a text, and no more, with each character in twelve
MAX_ROWS = 100_000


class QuestionError(ValueError):
    """A parameter of the address is not allowed. Says which, and what is."""


@dataclass(frozen=True)
class Question:
    """Which requests, and how they are shown.

    :param range_name: one of ``RANGE_TITLES``, or ``dates`` for the dates in ``filters``.
    :param zone: the time zone of all days and hours. :param has_zone: the address names it, instead of leaving it to the settings.
    :param by: what a point in time is; ``None``: as the range suggests.
    :param search: values that contain this, in any case.
    :param sort: the column by which rows are sorted; ``-`` before it: descending. ``""``: as the panel has it.
    :param limit: rows at most; ``None``: as many as the answer can have.
    """

    filters: Filters = EVERYTHING
    range_name: str = "all"
    zone: str = "UTC"
    has_zone: bool = False
    by: Granularity | None = None
    compare: Comparison = "none"
    search: str = ""
    sort: str = ""
    limit: int | None = None
    offset: int = 0

    def parameters(self) -> dict[str, str]:
        """This question as parameters of an address, without those that say what goes without saying."""
        chosen: dict[str, Any] = {}
        if self.range_name == "dates":
            chosen |= {"from": self.filters.first, "to": self.filters.last}
        else:
            chosen["range"] = self.range_name
        who = next(name for name, is_bot in WHO.items() if is_bot is self.filters.is_bot)
        chosen |= {
            "tz": self.zone if self.has_zone else None, "site": self.filters.site, "who": who if who != "all" else None, "by": self.by,
            "compare": None if self.compare == "none" else self.compare, "search": self.search or None, "sort": self.sort or None,
            "limit": self.limit, "offset": self.offset or None,
        }  # fmt: skip
        chosen |= {("status" if column == "status_class" else column): value for column, value in self.filters.values}
        return {name: str(value) for name, value in chosen.items() if value is not None}

    def link(self, path: str, /, **changes: Any) -> str:
        """The address of ``path`` for this question, with some parameters changed (``None``: removed)."""
        chosen = self.parameters() | changes
        return f"{path}?{urlencode({name: value for name, value in chosen.items() if value is not None})}"

    def without_list(self) -> "Question":
        """The same requests, without what is about one list."""
        return replace(self, search="", sort="", limit=None, offset=0)

    def previous(self) -> "Question | None":
        """The same about the days that these are compared with; ``None`` where nothing is compared, or there are none."""
        first, last = self.filters.first, self.filters.last
        if self.compare == "none" or first is None or last is None:
            return None
        days = (last - first).days + 1
        shift = timedelta(days=days if self.compare == "previous" else -(-days // 7) * 7)
        try:
            first, last = first - shift, last - shift
        except OverflowError:  # before the first day that a date can be
            return None
        return replace(self, filters=replace(self.filters, first=first, last=last), compare="none")


def asked(pairs: Sequence[tuple[str, str]], now: datetime, zone: str) -> Question:
    """The question that an address asks. Parameters without a value are as if they were not there.

    :param pairs: names and values, as they stand in the address.
    :param now: says which day is today.
    :param zone: the time zone, if the address names none.
    :raises QuestionError: a value is not allowed, or a parameter is there twice with different values.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS or value == "":
            continue
        if given.setdefault(name, value) != value:
            raise QuestionError(f"{name} is there twice")
        if not is_allowed(value):
            raise QuestionError(f"{name}: {MAX_TEXT} characters at most, none of them a NUL")
    zone = _zone(given, zone)
    range_name, first, last = _range(given, now.astimezone(ZoneInfo(zone)).date())
    if "status" in given:
        given["status"] = given["status"].lower()
    values = tuple((_column(name, given[name]), given[name]) for name in VALUE_PARAMETERS if name in given)
    try:
        filters = Filters(given.get("site"), first, last, WHO[_one_of("who", given, tuple(WHO), "all")], values)
    except ValueError as error:
        raise QuestionError(str(error)) from None
    return Question(
        filters,
        range_name,
        zone,
        has_zone="tz" in given,
        by=_one_of("by", given, get_args(Granularity), None),
        compare=_one_of("compare", given, get_args(Comparison), "none"),
        search=given.get("search", ""),
        sort=given.get("sort", ""),
        limit=_number("limit", given, None, MAX_ROWS),
        offset=_number("offset", given, 0, 10**9) or 0,
    )


def is_allowed(value: str) -> bool:
    """Whether a text can be a parameter's value."""
    return len(value) <= MAX_TEXT and "\0" not in value


def unknown(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The parameters that do not exist. Programs are told: a misspelt filter would silently filter nothing.

    The pages let them pass, for what others add to a link (``utm_source``) must not break it; chips show which filters there are.
    """
    return sorted({name for name, _ in pairs} - set(PARAMETERS))


def _zone(given: Mapping[str, str], zone: str) -> str:
    name = given.get("tz", zone)
    if "tz" in given and name not in zone_names():
        raise QuestionError("tz: not a time zone, such as Europe/Paris or UTC")
    return name


def _range(given: Mapping[str, str], today: date) -> tuple[str, date | None, date | None]:
    if "from" in given or "to" in given:
        return "dates", _day("from", given), _day("to", given)
    name = _one_of("range", given, tuple(RANGE_TITLES), "all")
    if name == "all":
        return name, None, None
    last = today - timedelta(days=name == "yesterday")
    return name, last - timedelta(days=RANGES[name] - 1), last


def _day(name: str, given: Mapping[str, str]) -> date | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        if len(text) != len("2024-05-17"):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise QuestionError(f"{name}: not a day, such as 2024-05-17") from None


def _one_of(name: str, given: Mapping[str, str], allowed: Sequence[str], default: Any) -> Any:
    if given.get(name, default) not in (*allowed, default):
        raise QuestionError(f"{name}: one of {', '.join(allowed)}")
    return given.get(name, default)


def _number(name: str, given: Mapping[str, str], default: int | None, most: int) -> int | None:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > most:
        raise QuestionError(f"{name}: a number from 0 to {most}")
    return int(text)


def _column(name: str, value: str) -> str:
    """The column that a parameter is about."""
    if name != "status" or value == "-":
        return name
    if len(value) == 3 and value[1:] == "xx" and value[0] in "12345":
        return "status_class"
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise QuestionError("status: a code or a class, such as 404 or 4xx")
    return name
