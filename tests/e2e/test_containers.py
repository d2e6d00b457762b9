"""``docker compose up`` on simulated logs: what the README promises, on a real engine. The tests go on from each other."""

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import yaml

from lakehouse.settings import load_settings
from tests.e2e.stack import OWNER, SERVICES, Stack, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("simulated")
    with running(folder, "lakehouse-e2e-simulated", {"PIPELINE_SIMULATE__RATE": "200"}) as stack:
        yield stack


def test_all_services_become_healthy_and_every_layer_gets_rows(stack: Stack) -> None:
    stack.wait_until_healthy()
    stack.wait_for(
        "rows in every table", lambda: not any(stack.table(name).is_empty() for name in load_settings().tables), 400
    )
    assert not stack.archive().is_empty()


def test_what_they_write_belongs_to_who_started_them(stack: Stack) -> None:
    written = [*stack.lake.root.rglob("*"), *stack.log.rglob("*"), stack.lake.root, stack.log]
    strangers = {str(p): (p.stat().st_uid, p.stat().st_gid) for p in written if p.exists()}
    assert {path: owner for path, owner in strangers.items() if owner != OWNER} == {}


def test_no_process_is_roots_but_crons_own(stack: Stack) -> None:
    def roots() -> set[tuple[str, str]]:
        return {(service, args) for service in SERVICES for uid, args in stack.processes(service) if uid == 0}

    found = roots()
    time.sleep(4)  # a health check is root's for the moment that it takes to become the owner
    own = re.compile(r"tini -- run-cron|/bin/sh /usr/local/bin/run-cron|cron -f|CRON -f")
    assert [(s, args) for s, args in sorted(found & roots()) if s != "cleaner" or not own.fullmatch(args)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_can_do_no_more_than_it_must(stack: Stack, service: str) -> None:
    found = stack.inspect(service)["HostConfig"]
    assert found["ReadonlyRootfs"]
    assert found["CapDrop"] == ["ALL"]
    assert sorted(found["CapAdd"]) == ["CHOWN", "SETGID", "SETUID"]
    assert found["SecurityOpt"] == ["no-new-privileges:true"]
    assert found["Memory"] > 0
    published = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.page_port)}]} if service == "page" else {}
    assert (found["PortBindings"] or {}) == published
    assert found["RestartPolicy"]["Name"] == "unless-stopped"


def test_the_page_can_only_read_and_shows_the_figures(stack: Stack) -> None:
    mounts = {mount["Destination"]: mount["RW"] for mount in stack.inspect("page")["Mounts"]}
    assert mounts == {"/app/data_lake": False, "/app/conf": False, "/tmp": True}
    assert stack.inspect("page")["HostConfig"]["Memory"] <= 512 * 1024 * 1024
    stack.wait_for("exact figures on the page", lambda: json.loads(stack.asked("/api/now"))["requests"] > 0, 300)
    assert json.loads(stack.asked("/api/pages"))["is_exact"]
    assert "<h1" in stack.asked("/")
    assert json.loads(stack.asked("/api/pipeline"))["identity"]["unaccounted"] == 0


def test_cron_runs_the_merge_each_minute_and_leaves_its_traces(stack: Stack) -> None:
    def ended() -> int:
        return len(runs_of(stack.log / "cron" / "merge.log"))

    stack.wait_for("three merges", lambda: ended() >= 3, 300)
    runs = runs_of(stack.log / "cron" / "merge.log")
    assert [code for _, _, code in runs] == [0] * len(runs)
    assert all(earlier_end <= start for (_, earlier_end, _), (start, _, _) in pairwise(runs))
    shown = stack.compose("logs", "--no-log-prefix", "cleaner")
    trace = (stack.log / "cron" / "merge.log").read_text()
    assert [line for line in trace.splitlines()[:20] if line not in shown] == []


def test_the_consumer_lets_the_cleaners_jobs_into_its_spark(stack: Stack) -> None:
    asked = (
        "from lakehouse.session import session_conf\n"
        "from lakehouse.settings import load_settings\n"
        "from lakehouse.shared import attach\n"
        "settings = load_settings()\n"
        "spark = attach(settings.lake, session_conf(settings))\n"
        "print(spark is not None and spark.range(3).count())\n"
    )
    assert stack.compose("exec", "--no-TTY", "cleaner", "as-owner", "python", "-c", asked).strip() == "3"


@pytest.mark.parametrize("service", SERVICES)
def test_a_crashed_container_comes_back_and_goes_on(stack: Stack, service: str) -> None:
    rows = stack.table("merged").height
    assert stack.inspect(service)["RestartCount"] == 0
    stack.crash(service)
    stack.wait_for(f"{service} restarted", lambda: stack.inspect(service)["RestartCount"] == 1, 60)
    stack.wait_until_healthy()
    stack.wait_for("more merged rows", lambda: stack.table("merged").height > rows, 200)


def test_every_landed_row_is_accounted_for_after_the_crashes(stack: Stack) -> None:
    stack.drain()
    require_identity(stack)


def test_a_changed_schedule_takes_effect_at_a_restart(stack: Stack) -> None:
    conf = stack.folder / "conf" / "pipeline.yaml"
    settings = yaml.safe_load(conf.read_text())
    settings["jobs"]["maintain"]["cron"] = "* * * * *"
    conf.write_text(yaml.safe_dump(settings))
    stack.compose("restart", "cleaner")
    stack.wait_for("a run of maintain", lambda: bool(runs_of(stack.log / "cron" / "maintain.log")), 200)
    assert runs_of(stack.log / "cron" / "maintain.log")[0][2] == 0


def test_down_and_up_goes_on_without_losing_or_doubling_a_row(stack: Stack) -> None:
    before = stack.table("merged")
    stack.compose("down")
    stack.compose("up", "--detach")
    stack.wait_until_healthy()
    stack.wait_for("more merged rows", lambda: stack.table("merged").height > before.height, 300)
    stack.drain()
    require_identity(stack)
    after = stack.table("merged")
    assert before.join(after, on=before.columns, how="anti", nulls_equal=True).is_empty()


def test_stop_ends_all_of_them_cleanly(stack: Stack) -> None:
    stack.compose("start", "producer")
    stack.wait_until_healthy()
    stack.compose("stop")
    states = {service: stack.inspect(service)["State"] for service in SERVICES}
    assert {service: (state["ExitCode"], state["OOMKilled"]) for service, state in states.items()} == dict.fromkeys(
        SERVICES, (0, False)
    )


def require_identity(stack: Stack) -> None:
    """Landed = merged + duplicates + quarantined, counted from the archive and the tables alone; and so the metrics."""
    archive, merged, quarantine, delta = (
        stack.archive(), stack.table("merged"), stack.table("quarantine"), stack.table("delta"),
    )  # fmt: skip
    ids = pl.concat([merged["event_id"], quarantine["event_id"]])
    assert merged["event_id"].is_unique().all()
    assert quarantine["event_id"].is_unique().all()
    assert set(archive["event_id"]) == set(ids)
    assert sorted(delta["event_id"]) == sorted(merged["event_id"])
    totals = yaml.safe_load(stack.compose("exec", "-T", "consumer", "consumer", "report", "--json"))["identity"]
    assert {name: totals[name] for name in ("landed", "merged", "duplicates", "quarantined")} == {
        "landed": archive.height,
        "merged": merged.height,
        "duplicates": archive.height - merged.height - quarantine.height,
        "quarantined": quarantine.height,
    }
    by_day = merged.group_by("event_date").len("requests").cast({"requests": pl.Int64}).sort("event_date")
    for mode in ("batch", "streaming"):
        daily = stack.table(f"metrics/{mode}/daily").select("event_date", "requests").sort("event_date")
        assert daily.equals(by_day)
        for grain in ("ip", "agent"):
            found = stack.table(f"metrics/{mode}/{grain}").group_by(grain).agg(pl.col("requests").sum()).sort(grain)
            expected = merged.group_by(grain).len("requests").cast({"requests": pl.Int64}).sort(grain)
            assert found.equals(expected)


def runs_of(trace: Path) -> list[tuple[datetime, datetime, int]]:
    """Start, end and exit code of each run in a job's log that has ended."""
    runs, started = [], None
    for line in trace.read_text().splitlines() if trace.exists() else []:
        if match := re.fullmatch(r"(\S+) \w+: started: .*", line):
            started = datetime.fromisoformat(match[1])
        elif started and (match := re.fullmatch(r"(\S+) \w+: ended after \S+ s with exit code (\d+)", line)):
            runs.append((started, datetime.fromisoformat(match[1]), int(match[2])))
            started = None
    return runs
