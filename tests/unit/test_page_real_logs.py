"""The page's figures of real logs against an independent oracle's. Runs where REAL_LOGS names the folder of logs. No JVM."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from consumer.batch import refresh
from consumer.page.app import application
from lakehouse.settings import Settings
from tests.ingested import ingest

LOGS = Path(os.environ.get("REAL_LOGS", "/nonexistent"))
SETS = ("elastic_apache", "meatlabel_nginx", "farm_apache_combined", "farm_apache_common")
NOT_SENT = ("-", "(none)", "")

pytestmark = pytest.mark.skipif(not LOGS.is_dir(), reason="REAL_LOGS does not name a folder of real logs")


@pytest.mark.parametrize("is_counted", [True, False], ids=["from the exact tables", "from the requests"])
@pytest.mark.parametrize("name", SETS)
def test_figures_equal_the_oracles(settings: Settings, name: str, is_counted: bool) -> None:
    oracle: dict[str, Any] = json.loads((LOGS / name / "oracle.json").read_text())
    logs = sorted(path for path in (LOGS / name).iterdir() if path.name != "oracle.json")
    ingest(settings, "ingest", *map(str, logs))
    if is_counted:
        refresh(settings)
    with TestClient(application(settings), base_url="http://127.0.0.1") as page:

        def rows(panel: str, **asked: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = page.get(f"/api/{panel}", params=asked).json()["rows"]
            return found

        (now,) = rows("now")
        assert (now["requests"], now["bytes"]) == (oracle["parsed"], oracle["bytes_total"])
        days = {row["time"]: (row["requests"], row["bytes"]) for row in rows("over_time", by="day") if row["requests"]}
        assert days == {day: (seen["hits"], seen["bytes"]) for day, seen in oracle["per_day_utc"].items()}
        assert {row["ip"]: row["requests"] for row in rows("ips")} == oracle["per_ip"]
        sent = {None if agent in NOT_SENT else agent: n for agent, n in oracle["per_agent"].items()}
        assert {row["agent"]: row["requests"] for row in rows("agents")} == sent
        assert {str(row["status"]): row["requests"] for row in rows("statuses")} == oracle["status"]
        for day, seen in oracle["per_day_utc"].items():
            assert len(rows("ips", **{"from": day, "to": day})) == seen["distinct_ips"]
        for ip in sorted(oracle["per_ip"], key=oracle["per_ip"].get, reverse=True)[:5]:
            assert rows("now", ip=ip)[0]["requests"] == oracle["per_ip"][ip]
            assert len(rows("requests", ip=ip)) == oracle["per_ip"][ip]
