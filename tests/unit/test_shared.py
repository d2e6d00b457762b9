"""A shared Spark that is not there, or not as it should be, is none: the job then has its own."""

import json
import logging
import socket
from dataclasses import asdict

import pytest

from lakehouse import shared
from lakehouse.errors import EngineError
from lakehouse.lake import Lake
from lakehouse.locks import is_locked, release
from lakehouse.shared import OPENING, Door, announce, attach, sharing_conf

CONF = {"spark.sql.shuffle.partitions": "2"}


def write(lake: Lake, content: str) -> None:
    lake.shared_spark.parent.mkdir(parents=True, exist_ok=True)
    lake.shared_spark.write_text(content)


def test_a_door_is_an_address_with_its_token_in_a_header() -> None:
    assert Door("consumer", 4711, "t0-k_n", {}).address == "sc://consumer:4711/;authorization=Bearer%20t0-k_n"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "127.0.0.1"}', '{"host": 1, "door": 2}'])
def test_a_note_that_says_nothing_is_no_door(lake: Lake, content: str) -> None:
    assert attach(lake, CONF) is None
    write(lake, content)
    assert attach(lake, CONF) is None


def test_a_spark_with_other_settings_is_left_alone(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    write(lake, json.dumps(asdict(Door("127.0.0.1", 1, "token", CONF | {"spark.sql.ansi.enabled": "false"}))))
    with caplog.at_level(logging.INFO):
        assert attach(lake, CONF) is None
    assert caplog.messages == ["the consumer's Spark was started with other settings: starting one for this job"]


def test_a_spark_that_knows_a_table_which_is_gone_is_left_alone_from_then_on(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    write(lake, json.dumps(asdict(Door("127.0.0.1", 1, "token", CONF))))
    log = lake.delta / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{3:020}.json").touch()
    lake.shared_versions.write_text('{"delta": 4, "merged": -1}')
    assert attach(lake, CONF) is None
    assert not lake.shared_spark.exists()
    [message] = caplog.messages
    assert message.startswith(
        "delta: made anew or put back since the consumer's Spark has seen it: jobs have a Spark of"
    )


def test_nobody_behind_the_door_is_said(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    write(lake, json.dumps(asdict(Door("127.0.0.1", port, "token", CONF))))
    with caplog.at_level(logging.INFO):
        assert attach(lake, CONF) is None
    assert caplog.messages == [
        f"the consumer's Spark at 127.0.0.1:{port} does not let this job in (UNAVAILABLE): starting one for it",
    ]


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid"])
def test_a_host_that_is_not_this_machine_is_said_before_spark_starts(host: str) -> None:
    with pytest.raises(EngineError, match=rf"^spark\.shared_host: nothing can listen at {host} on this machine"):
        sharing_conf(host, {})
    assert sharing_conf("127.0.0.1", {})["spark.connect.grpc.binding.address"] == "127.0.0.1"


WAITING = "waiting up to 60 s for the consumer's Spark, which is starting"


def test_a_job_waits_for_a_consumer_that_is_starting_its_spark(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []

    def opened(seconds: float) -> None:
        """What the consumer does once jobs are let in; here with other settings than the job's."""
        waited.append(seconds)
        if len(waited) == 3:
            write(lake, json.dumps(asdict(Door("127.0.0.1", 1, "token", {}))))
            release(lake.locks, OPENING)

    monkeypatch.setattr("time.sleep", opened)
    announce(lake, sharing_conf("127.0.0.1", {}))
    with caplog.at_level(logging.INFO):
        assert attach(lake, CONF) is None
    assert len(waited) == 3
    assert caplog.messages == [
        WAITING,
        "the consumer's Spark was started with other settings: starting one for this job",
    ]


def test_a_job_does_not_wait_for_ever(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared, "OPENING_SECONDS", 0)
    announce(lake, sharing_conf("127.0.0.1", {}))
    assert attach(lake, CONF) is None
    release(lake.locks, OPENING)


def test_only_a_spark_that_is_to_be_shared_is_waited_for(lake: Lake) -> None:
    announce(lake, {})
    announce(lake, {"spark.plugins": "org.example.Other"})
    assert not is_locked(lake.locks, OPENING)
