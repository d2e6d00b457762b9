"""Which country an IP is from, by a MaxMind DB file of the user's own. I/O; no JVM, no pyspark."""

import os
import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import InputError

if TYPE_CHECKING:
    from maxminddb import Reader

# The longest IPv6 address with an IPv4 part. A host name may be longer, and is none.
ADDRESS_CHARACTERS = 45
ISO_CODE = re.compile("[A-Z]{2}")
# A database of countries has one for most networks; one of something else, such as of providers, for none.
SAMPLED_NETWORKS = 1000
WHAT_TO_DO = "name a MaxMind DB file with countries or cities in geoip.database, or set it to null"


def require_database(path: Path | None) -> None:
    """See that countries can be looked up in the file at ``path``, where one is set.

    :raises InputError: as ``country_finder``.
    """
    if path is not None:
        _open(path)


def country_finder(path: Path) -> Callable[[str | None], str | None]:
    """What finds the ISO 3166 code of an IP's country: null where it is no address or the database knows none.

    :raises InputError: the file at ``path`` is missing, unreadable, damaged, no MaxMind DB, or one without countries.
        What is damaged further behind shows when it is looked up.
    """
    from maxminddb import InvalidDatabaseError

    reader = _open(path)

    def country(ip: str | None) -> str | None:
        if ip is None or len(ip) > ADDRESS_CHARACTERS:
            return None
        try:
            return iso_code(reader.get(ip_address(ip)))  # the extension itself takes 192.2 for an address, too
        except InvalidDatabaseError as error:
            raise _no_database(path, f"is damaged: {error}") from None
        except ValueError:  # a host name, anything; or IPv6 where the database has only IPv4
            return None

    return country


def iso_code(record: Any) -> str | None:
    """The country of a database's record: ``country.iso_code`` in MaxMind's and DB-IP's, a text in IPinfo's."""
    if not isinstance(record, dict):
        return None
    country = record.get("country_code", record.get("country"))
    code = country.get("iso_code") if isinstance(country, dict) else country
    return code if isinstance(code, str) and ISO_CODE.fullmatch(code) else None


def _open(path: Path) -> "Reader":
    try:
        with path.open("rb") as file:  # what opens databases does not tell a folder from a damaged file
            facts = os.fstat(file.fileno())
        return _reader(path, facts.st_ino, facts.st_mtime_ns, facts.st_size)
    except FileNotFoundError:
        raise _no_database(path, "no such file") from None
    except OSError as error:
        raise _no_database(path, f"cannot be read: {error.strerror}") from None


@lru_cache(maxsize=1)
def _reader(path: Path, *_file: int) -> "Reader":
    """The database, mapped into memory once for each process and state of the file."""
    from maxminddb import MODE_AUTO, InvalidDatabaseError, open_database

    try:
        reader = open_database(path, MODE_AUTO)  # maps the file, by the extension in C where that is there
        records = [record for _, record in islice(reader, SAMPLED_NETWORKS)]
    except (InvalidDatabaseError, ValueError) as error:  # mapping an empty file is a ValueError
        raise _no_database(path, f"is no MaxMind DB file, or a damaged one: {error}") from None
    if not any(iso_code(record) for record in records):
        raise _no_database(path, f"knows no countries: it is a database of the type {reader.metadata().database_type}")
    return reader


def _no_database(path: Path, problem: str) -> InputError:
    return InputError(f"{path}: {problem}; {WHAT_TO_DO}")
