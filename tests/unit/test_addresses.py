import ipaddress

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from producer.addresses import client, plain_address, private_share, truncated_ips, truncated_ipv6, with_client

SCHEMA = dict.fromkeys(("ip", "raw", "rescued"), pl.String())
IPS = [
    ("192.0.2.77", "192.0.2.0"),
    ("0.0.0.0", "0.0.0.0"),
    ("999.1.2.3", "999.1.2.0"),
    ("2001:db8:1:2::3", "2001:db8:1::"),
    ("2001:DB8:1:2:3:4:5:6", "2001:db8:1::"),
    ("::1", "::"),
    ("fe80::1%eth0", "fe80::"),
    ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
    ("www.example.org", "www.example.org"),
    ("1.2.3.4.example.org", "1.2.3.0.example.org"),
    ("192.0.2.77:5000", "192.0.2.0:5000"),
    ("192.0.2.77, 198.51.100.9", "192.0.2.0, 198.51.100.0"),
    ("192.0.2.77,", "192.0.2.0,"),
    ("[2001:db8:1:2::3]:80", "[2001:db8:1::]:80"),
    ("-", "-"),
    ("10:05:03", "10:05:03"),
    ("", ""),
    (None, None),
]
RAW = [
    ('192.0.2.77 - - "GET', '192.0.2.0 - - "GET'),
    ("x 192.0.2.77, 198.51.100.9:80", "x 192.0.2.0, 198.51.100.0:80"),
    ("2001:db8:1:2::3 - - [17/May/2015:10:05:03 +0000]", "2001:db8:1:: - - [17/May/2015:10:05:03 +0000]"),
    ('{"ip":"2001:db8:1:2::3","b":"::ffff:192.0.2.77"}', '{"ip":"2001:db8:1::","b":"::ffff:192.0.2.0"}'),
    (r'{"x":"\u0001::1","y":"\ud83d2001:db8:1:2::3"}', r'{"x":"\u0001::","y":"\ud83d2001:db8:1::"}'),
    (
        r"ip192.0.2.77 a_192.0.2.77_b \x20192.0.2.77 %3A192.0.2.77,192.0.2.78",
        r"ip192.0.2.0 a_192.0.2.0_b \x20192.0.2.0 %3A192.0.2.0,192.0.2.0",
    ),
    (
        "client:2001:db8:1:2::3, 2001:db8:1:2::3. 2001:db8:1:2:3:4:5:6:443",
        "client:2001:db8:1::, 2001:db8:1::. 2001:db8:1:::443",
    ),
    ("1.2.3.4567 and 1.2.3", "1.2.3.4567 and 1.2.3"),
    ("::", "::"),
    (":" * 100_000, ":" * 100_000),
    ("a" * 100_000, "a" * 100_000),
    (None, None),
]


@pytest.mark.parametrize(("ip", "expected"), IPS)
def test_an_address_is_truncated_and_a_host_name_stays(ip: str | None, expected: str | None) -> None:
    rows = pl.DataFrame([{"ip": ip}], schema=SCHEMA)
    assert truncated_ips(rows).to_dicts() == [{"ip": expected, "raw": None, "rescued": None}]


def test_many_rows_keep_their_places_and_other_columns() -> None:
    pairs = IPS * 3
    ips = [ip for ip, _ in pairs]
    rows = pl.DataFrame({"ip": ips, "raw": ips[::-1], "rescued": ips[::-1], "n": range(len(pairs))})
    expected = rows.with_columns(pl.Series("ip", [cut for _, cut in pairs]))
    assert_frame_equal(truncated_ips(rows).drop("raw", "rescued"), expected.drop("raw", "rescued"))


@pytest.mark.parametrize(("text", "expected"), RAW)
def test_an_unparsed_line_and_what_was_rescued_keep_no_address(text: str | None, expected: str | None) -> None:
    rows = pl.DataFrame([{"raw": text, "rescued": text}], schema=SCHEMA)
    assert truncated_ips(rows).to_dicts() == [{"ip": None, "raw": expected, "rescued": expected}]


def test_no_rows_are_no_rows() -> None:
    rows = pl.DataFrame(schema=SCHEMA)
    assert_frame_equal(truncated_ips(rows), rows)


@given(st.ip_addresses(v=6), st.integers(0, 2**80 - 1))
def test_addresses_of_one_network_become_one(address: object, host: int) -> None:
    number = int(address)  # type: ignore[call-overload]
    if number >> 32 == 0xFFFF:
        return
    import ipaddress

    other = ipaddress.IPv6Address((number >> 80 << 80) | host)
    if int(other) >> 32 != 0xFFFF:
        assert truncated_ipv6(str(address)) == truncated_ipv6(str(other))


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    assert isinstance(truncated_ipv6(text), str)


# The client ----------------------------------------------------------------------------------------------------------

TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8:f::/48")]
CLIENTS = [
    # what was logged as the peer, as forwarded, and who is the client
    ("192.0.2.1", None, "192.0.2.1"),
    ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
    ("10.0.0.5", "198.51.100.7", "198.51.100.7"),
    ("10.0.0.5", "192.0.2.66, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
    ("10.0.0.5", "198.51.100.8, unknown", "198.51.100.8"),
    ("10.0.0.5", '"198.51.100.8:443, [2001:db8:f::1]:80"', "198.51.100.8"),
    ("10.0.0.5", "203.0.113.1:33453,+10.16.0.1:49770", "203.0.113.1"),
    ("2001:db8:f::9", "2001:db8::1", "2001:db8::1"),
    ("::ffff:10.0.0.5", "198.51.100.7", "198.51.100.7"),
    ("10.0.0.5", "-", "10.0.0.5"),
    ("10.0.0.5", None, "10.0.0.5"),
    ("10.0.0.5", "10.0.0.6", "10.0.0.5"),
    ("10.0.0.5", "203.0.113.1,%20198.51.100.8", "198.51.100.8"),
    ("198.51.100.7, 10.0.0.5", None, "198.51.100.7"),
    ("10.0.0.5", 'for=192.0.2.43, for="[2001:db8::17]:47011";proto=https', "2001:db8::17"),
    (
        "10.0.0.5",
        r"For=198.51.100.7:80;by=10.0.0.9, for=\x22[2001:db8:f::1]\x22, for=_hidden, for=unknown",
        "198.51.100.7",
    ),
    ("192.0.2.1", "for=198.51.100.7", "192.0.2.1"),
    ("unix:", "192.0.2.66, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
    ("unix:/run/a.sock", "-", "unix:/run/a.sock"),
    ("unix", None, "unix"),
    ("www.example.org", "198.51.100.7", "www.example.org"),
    ("-", "198.51.100.7", "-"),
    (None, "198.51.100.7, 10.0.0.1", "198.51.100.7"),
    (None, "-", None),
    (None, None, None),
]


@pytest.mark.parametrize(("logged", "forwarded", "expected"), CLIENTS)
def test_the_client_is_the_rightmost_address_that_is_not_trusted(
    logged: str | None, forwarded: str | None, expected: str | None
) -> None:
    assert client(logged, forwarded, TRUSTED) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("192.0.2.1.example.org", None),
        ("unknown", None),
        ("192.0.2.256", None),
        ("", None),
    ],
)
def test_an_address_is_found_without_port_and_brackets(text: str, expected: str | None) -> None:
    assert plain_address(text) == expected


def test_what_stood_in_the_place_of_the_client_is_kept_where_it_says_more() -> None:
    rows = pl.DataFrame(
        [
            ("192.0.2.1", None, None),
            ("192.0.2.1:80", None, '{"a":1}'),
            ("::ffff:192.0.2.1", None, None),
            ("10.0.0.5", "198.51.100.7", '{"xff":"198.51.100.7"}'),
            ("a, b", None, None),
            (None, "198.51.100.7", None),
            (None, None, None),
        ],
        schema=["ip", "forwarded", "rescued"],
        orient="row",
    )
    assert with_client(rows, TRUSTED).select("ip", "rescued").rows() == [
        ("192.0.2.1", None),
        ("192.0.2.1", '{"a":1,"remote_addr":"192.0.2.1:80"}'),
        ("192.0.2.1", None),
        ("198.51.100.7", '{"xff":"198.51.100.7","remote_addr":"10.0.0.5"}'),
        ("a, b", None),
        ("198.51.100.7", None),
        (None, None),
    ]
    untrusted = with_client(rows, []).select("ip", "rescued").rows()
    assert untrusted[5] == ("198.51.100.7", None)
    assert untrusted[3] == ("10.0.0.5", '{"xff":"198.51.100.7"}')


def test_private_addresses_are_counted() -> None:
    addresses = [
        "10.0.0.1",
        "172.16.0.1",
        "172.32.0.1",
        "192.168.1.1:80",
        "::1",
        "fd00::1",
        "192.0.2.1",
        "::ffff:10.0.0.1",
    ]
    assert private_share(pl.Series(addresses)) == 6 / 8
    assert private_share(pl.Series([], dtype=pl.String)) == 0
