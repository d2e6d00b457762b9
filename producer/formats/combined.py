r"""Combined and Common, by themselves or behind a site's name, as most web servers write them. Pure.

    [site[:port]] host ident user [dd/Mon/yyyy:HH:MM:SS +zzzz] "request" status bytes "referer" "agent" [more fields]

Referer and agent may be missing; what is behind the last field that is known is kept as ``rest``. Inside quotes a
backslash escapes the next character. Values stay as logged: ``-`` is ``-`` (but for bytes, a number: null) and escapes
such as ``\x22`` are not decoded. An ident that is not ``-`` is kept in ``rescued``.

The first expression reads the usual line in one pass. What it misses is cut at the time and looked at more closely: an
address with a port or a list of addresses, a host name in the place of ident, a user with blanks, NULs before the line.
"""

from typing import NamedTuple

import polars as pl

from producer.addresses import ADDRESS_LIST
from producer.formats.columns import no_fields
from producer.formats.options import Options
from producer.formats.requests import TOKEN
from producer.formats.text import BLANKS, FIELD, IN_QUOTES, Pattern, Reader, fields_of, first_that_reads
from producer.formats.times import LOGGED

LOGGED_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
# A priority of syslog, such as <190>, is no part of a name.
_VHOST = rf"(?P<site>\[[0-9A-Fa-f:.%]+\]|[^<{BLANKS}:\"\x00\[\]][^{BLANKS}:\"\x00\[\]]*):[0-9]+ "
_NAME = rf'[^<{BLANKS}"\x00][^{BLANKS}"\x00]*'
_FRONT = rf'(?P<ip>{_NAME}) - (?P<user>[^{BLANKS}"]+) \[(?P<time>{LOGGED_TIME})\] '
_BACK = (
    r" (?P<status>[0-9]{3}) (?P<bytes>[0-9]+|-)"
    rf'(?: "(?P<referer>{IN_QUOTES})" "(?P<agent>{IN_QUOTES})"(?: (?P<rest>.+)?)?)?$'
)
USUAL_REQUEST = (
    rf"(?P<method>{TOKEN}) "
    rf'(?P<path>[^{BLANKS}"\\?]*)(?:\?(?P<query>[^{BLANKS}"\\]*))? (?P<protocol>HTTP/[0-9.]+)'
)
# Fields that are not known. A quote that nothing closes, or that is not escaped, may have swallowed anything: such a line is not read.
_OTHER = rf'[^" ]*(?:"{IN_QUOTES}")?[^" ]*'
_OTHERS = rf"{_OTHER}(?: {_OTHER})*"
_ANY = (
    rf'(?s)^[\x00 ]*(?P<front>[^\x00 ].*?) +\[(?P<time>(?:[0-9]{{1,2}}/|[0-9]{{4}}-[0-9]{{2}}-)[^\]\["]{{1,40}})\] +"(?P<request>{IN_QUOTES})" +'
    rf"(?P<status>[0-9]{{3}}|-) +(?P<bytes>[0-9]+|-1?)"
    rf'(?:(?: "(?P<referer>{IN_QUOTES})" "(?P<agent>{IN_QUOTES})"(?: (?P<rest>.+)?)?)|(?: (?P<tail>{_OTHERS})))?$'
)


class Grammar(NamedTuple):
    """Two regular expressions for one format.

    ``usual`` takes the request apart in the same pass and misses odd ones; what it misses, ``any`` reads again.
    """

    usual: str
    any: str


COMBINED = Grammar(f'^{_FRONT}"{USUAL_REQUEST}"{_BACK}', _ANY)
VHOST = Grammar(f'^{_VHOST}{_FRONT}"{USUAL_REQUEST}"{_BACK}', _ANY)

# What stands before the time of an odd line; the first that matches counts.
_SITE = rf"(?P<site>(?:[0-9A-Za-z_*-]*[.])+[0-9A-Za-z_-]*[A-Za-z][0-9A-Za-z_-]*\.?|localhost|_|[^<{BLANKS}:\"\x00\[\]][^{BLANKS}:\"\x00\[\]]*:[0-9]+|\[[0-9A-Fa-f:.%]+\]:[0-9]+)"
_WORD = rf"[^{BLANKS}\[\]]+"
_USER = rf'(?P<user>"[^"]*"|{FIELD})'
_PLAIN_FRONTS = (
    rf"^(?P<remote_addr>{ADDRESS_LIST}) +- +\[(?P<ip>{ADDRESS_LIST})\] +(?P<ident>{FIELD}) +{_USER}$",
    rf"^(?P<ip>{ADDRESS_LIST}) +(?P<ident>{FIELD}) +{_USER}$",
    rf"^(?P<ip>{ADDRESS_LIST}) +(?P<user>-|[^{BLANKS}]+)$",
    rf"^(?P<ip>{ADDRESS_LIST}) +(?P<ident>{_WORD}(?: +{_WORD})+) +(?P<user>-)$",
    rf"^(?P<ip>{ADDRESS_LIST}) +(?P<ident>{_WORD}) +(?P<user>[^\[\]]+)$",
)
_HOST_FRONT = rf"^(?P<ip>{_NAME}) (?P<ident>{FIELD}) (?P<user>{FIELD})$"
# Where an address in the place of ident says that the line is another.
_LOOSE_FRONTS = (*_PLAIN_FRONTS[3:], _HOST_FRONT)
# The time of an envelope, in the place of a host: what stands behind it is another line's end.
_TIME_AS_HOST = (
    r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T|$)|(?:<[0-9]+>)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)$)"
)
_VHOST_FRONTS = (
    rf"^{_SITE} +(?P<ip>{ADDRESS_LIST}) +(?P<ident>{FIELD}) +{_USER}$",
    rf"^{_SITE} +(?P<ip>{ADDRESS_LIST}) +{_USER}$",
    rf"^(?P<first>[0-9A-Za-z-]+) +(?P<ip>{ADDRESS_LIST}) +(?P<ident>{FIELD}) +{_USER}$",
    rf"^{_SITE} (?P<ip>{_NAME}) (?P<ident>{FIELD}) (?P<user>{FIELD})$",
)


class CombinedFormat:
    """Reads lines whose request and time stand as in Combined.

    :param grammar: of usual lines.
    :param fronts: expressions for what stands before the time.
    """

    def __init__(self, name: str, grammar: Grammar, fronts: tuple[str, ...]) -> None:
        self.name = name
        self._usual = Pattern(name, (grammar.usual,), time_format=LOGGED)
        self._any, self._fronts = grammar.any, fronts

    def read(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        """``FIELDS`` for each line, in order."""
        return first_that_reads(
            lines, [lambda usual: self._usual.read(usual, options), lambda odd: self._odd_fields(odd, options)]
        )

    def _odd_fields(self, lines: pl.Series, options: Options) -> pl.DataFrame:
        texts = lines.str.extract_groups(self._any).struct.unnest()
        if texts["time"].null_count() == texts.height:
            return no_fields(lines.len())
        fronts = [self._front_reader(texts, front, options) for front in self._fronts]
        return first_that_reads(pl.int_range(texts.height, eager=True), fronts)

    def _front_reader(self, texts: pl.DataFrame, expression: str, options: Options) -> Reader:
        def read(places: pl.Series) -> pl.DataFrame:
            rows = texts[places]
            front = rows["front"].str.extract_groups(expression).struct.unnest()
            is_read = front["ip"].is_not_null()
            if expression == _HOST_FRONT:
                is_read &= ~front["ip"].str.contains(_TIME_AS_HOST).fill_null(value=False)
            if "ident" in front.columns:  # the address before it is one of a list, and a name before it no client
                is_address = front["ident"].str.contains(f"^{ADDRESS_LIST}(?: |$)").fill_null(value=False)
                is_read &= ~(is_address & (front["ip"].str.ends_with(",") | (expression in _LOOSE_FRONTS)))
            if not is_read.any():
                return no_fields(rows.height)
            found = rows.drop("front", "tail").with_columns(
                *front,
                pl.coalesce(rows["rest"], rows["tail"]).alias("rest"),
                pl.when(is_read).then("time").alias("time"),
            )
            named = [name for name in ("user", "ident") if name in found.columns]
            found = found.with_columns(pl.col(named).str.strip_chars(" ").replace(['""', '"-"'], "-"))
            return fields_of(found, options)

        return read


READERS = (
    CombinedFormat("combined", COMBINED, (*_PLAIN_FRONTS, _HOST_FRONT)),
    CombinedFormat("vhost", VHOST, _VHOST_FRONTS),
)
