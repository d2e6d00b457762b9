import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.countries import SAMPLED_NETWORKS, country_finder, iso_code, require_database
from lakehouse.errors import InputError
from tests.geoip import write_countries, write_database


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return write_countries(tmp_path / "countries.mmdb", DE="192.0.2.0/25", FR="192.0.2.128/25", JP="2001:db8::/32")


@pytest.mark.parametrize(
    ("ip", "country"),
    [
        ("192.0.2.1", "DE"),
        ("192.0.2.127", "DE"),
        ("192.0.2.128", "FR"),
        ("192.0.3.0", None),
        ("2001:db8::1", "JP"),
        ("2001:DB8:0:0:0:0:0:1", "JP"),
        ("2001:db9::", None),
        ("::192.0.2.1", "DE"),
        (None, None),
        ("", None),
        ("-", None),
        ("localhost", None),
        ("example.org", None),
        ("192.0.2", None),
        ("192.0.2.1:80", None),
        ("192.0.2.1 ", None),
        ("192.0.2.001", None),
        ("fe80::1%eth0", None),
        ("\x00\x1b[31m\u202e", None),
        ("9" * 100_000, None),
    ],
)
def test_an_ip_has_a_country_or_none(database: Path, ip: str | None, country: str | None) -> None:
    assert country_finder(database)(ip) == country


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"country": {"iso_code": "DE"}, "registered_country": {"iso_code": "US"}}, "DE"),
        ({"city": {"names": {"en": "Bonn"}}, "country": {"iso_code": "DE"}}, "DE"),
        ({"country": "DE", "continent": "EU"}, "DE"),
        ({"country": "Germany", "country_code": "DE"}, "DE"),
        ({"registered_country": {"iso_code": "US"}}, None),
        ({"country": {}}, None),
        ({"country": "Germany"}, None),
        ({"country": {"iso_code": 7}}, None),
        ({"country": {"iso_code": "\x1b["}}, None),
        ({}, None),
        (None, None),
        ("DE", None),
        ([], None),
    ],
)
def test_a_record_is_read_as_several_makers_write_it(record: object, code: str | None) -> None:
    assert iso_code(record) == code


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def other(path: Path) -> None:
    write_database(path, {"192.0.2.0/24": {"autonomous_system_number": "1"}}, "Test-ASN")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (Path.unlink, "no such file"),
        (folder, "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b""), "is no MaxMind DB file, or a damaged one: "),
        (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(5000)), "is no MaxMind DB file, or a damaged one: "),
        (cut, "is no MaxMind DB file, or a damaged one: "),
        (other, "knows no countries: it is a database of the type Test-ASN"),
        (lambda path: write_database(path, {}), "knows no countries: it is a database of the type Test-Country"),
    ],
)
def test_what_is_no_database_of_countries_is_said_with_what_to_do(
    database: Path, damage: Callable[[Path], object], problem: str
) -> None:
    require_database(database)
    damage(database)
    with pytest.raises(InputError) as error:
        require_database(database)
    assert str(error.value).startswith(f"{database}: {problem}")
    assert str(error.value).endswith(
        "; name a MaxMind DB file with countries or cities in geoip.database, or set it to null"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_database_that_may_not_be_read_is_said(database: Path) -> None:
    database.chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied; name a MaxMind DB file"):
        require_database(database)


def test_a_record_that_is_damaged_is_said_when_it_is_looked_up(database: Path) -> None:
    germany = {"country": {"iso_code": "DE"}}
    networks = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(SAMPLED_NETWORKS)]
    whole = write_database(database, {**dict.fromkeys(networks, germany), "2001:db8::/32": germany}).read_bytes()
    place = whole.rindex(b"\xe1Gcountry")
    database.write_bytes(whole[:place] + b"\x3f\xff\xff\xff" + whole[place + 4 :])
    find = country_finder(database)
    assert find("10.0.0.1") == "DE"
    with pytest.raises(InputError, match="is damaged: "):
        find("2001:db8::1")


def test_a_newer_database_is_taken_by_the_next_who_asks(database: Path) -> None:
    find = country_finder(database)
    newer = write_countries(database.with_name("newer.mmdb"), AT="192.0.2.0/25")
    newer.replace(database)
    assert (find("192.0.2.1"), country_finder(database)("192.0.2.1")) == ("DE", "AT")


def test_without_a_database_nothing_is_required() -> None:
    require_database(None)
