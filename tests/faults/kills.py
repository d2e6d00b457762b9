"""Kills the real programs at random moments and at named points, and compares what they leave with an undisturbed run.

A *round* is one lake and one seed. A known log lands in waves; after each, the programs run in a random order and are
killed again and again. At the end they run undisturbed once, and then every row of every table, of ``logs/`` and of the
ledger must be what it is in a lake where nothing was ever killed.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from lakehouse.lake import EXACT_GRAINS, Lake, waiting_files
from tests.faults.lakes import contents, differences
from tests.faults.programs import Programs, kill

COMMANDS = {
    "stream": ("consumer", "stream", "--once"),
    "merge": ("cleaner", "merge"),
    "batch": ("consumer", "batch"),
    "maintain": ("cleaner", "maintain"),
}


def each_side(function: str, calls: int = 1) -> list[str]:
    """The points before and after each of the first ``calls`` calls of a function."""
    return [f"{function}:{when}:{call}" for call in range(1, calls + 1) for when in ("before", "after")]


# Between each commit and the step after it.
POINTS = {
    "stream": [
        *each_side("lakehouse.arrivals:Arrivals.write"),
        *each_side("consumer.components.landed_source:LandedStreamReader.latestOffset", 2),
        *each_side("consumer.components.landed_source:LandedStreamReader.partitions"),
        *each_side("consumer.components.landed_source:LandedStreamReader.read"),
        *each_side("consumer.components.landed_source:_source_batch"),
        *each_side("consumer.streaming:_start_archive"),
        *each_side("consumer.streaming:_start_metrics"),
        *each_side("consumer.components.metrics:create_metrics_tables"),
        *each_side("consumer.components.metrics:add_figures", 3),
    ],
    "merge": [
        *each_side("cleaner.delta_lake:create_table", 3),
        *each_side("cleaner.insert:insert_new", 4),
        *each_side("cleaner.small_pass:count"),
        *each_side("lakehouse.ledger:Ledger.record_files"),
        *each_side("lakehouse.ledger:Ledger.retire"),
        *each_side("cleaner.retire:_remove", 3),
    ],
    "batch": [
        *each_side("consumer.components.exact_tables:create_table", 3),
        *each_side("consumer.components.exact_refresh:write_record", 2),
        *each_side("consumer.components.exact_tables:replace_days", 9),
    ],
    "maintain": [
        *each_side("cleaner.maintain:compact"),
        "cleaner.maintain:table:after:1",
        "cleaner.maintain:table:after:2",
        *each_side("cleaner.maintain:vacuum"),
        *each_side("cleaner.maintain:prune_archive"),
        *each_side("cleaner.maintain:retire_old_files"),
    ],
}
POINTS_OF_REPLAY = [
    *each_side("cleaner.replay_rows:merge_passing"),
    *each_side("cleaner.replay_rows:enrich_placed"),
    *each_side("lakehouse.ledger:Ledger.note"),
    *each_side("cleaner.replay_rows:remove"),
    *each_side("lakehouse.ledger:Ledger.settle"),
]
# Those that each run of the long form must have been killed at: they are tried first, and until a program comes by.
CORE = {
    *each_side("cleaner.insert:insert_new"),
    *each_side("lakehouse.ledger:Ledger.record_files"),
    *each_side("cleaner.retire:_remove"),
    *each_side("consumer.components.metrics:add_figures", 3),
    *each_side("consumer.components.exact_tables:replace_days", 9),
}
# How often another point is tried that no run comes by, each time with another wave.
TRIES = 3
# A program's first seconds are spent on starting: kills there teach little.
QUIET_SHARE = 0.3
FIRST_GUESS_SECONDS = 12.0
# How much longer than usual an endless program may take to come by a point.
PATIENCE = 2
# How often a program may run to its end between kills.
FINISHED_SHARE = 0.4
# From a shared job's start to its kill; what it says that meets the rest of a killed one.
SHARED_SECONDS = (1.5, 6.0)
RIVAL = "the same table was written at the same time"
START_SECONDS = 120


@dataclass
class Tally:
    """What was done so far, over all rounds: kills, how many of them at named points, rows compared.

    ``hit`` are the named points that a program was killed at, ``missed`` how often one ran to its end without coming by.
    """

    kills: int = 0
    at_points: int = 0
    rounds: int = 0
    rows: int = 0
    hit: list[str] = field(default_factory=list)
    missed: dict[str, int] = field(default_factory=dict)

    @property
    def never_hit(self) -> list[str]:
        """The points that no run came by."""
        return sorted(set(self.missed) - set(self.hit))


@dataclass
class Killer:
    """Runs programs and kills them: at the named points one after the other, in random order, and at random moments."""

    programs: Programs
    random: Random
    tally: Tally
    points: dict[str, list[str]]
    durations: dict[str, float] = field(default_factory=dict)
    is_endless: bool = False
    """Whether the programs go on until they are killed: then one that does not come by its point is killed by time."""
    later: list[tuple[str, str]] = field(default_factory=list)
    """Points that a program did not come by, for want of work perhaps: they are tried again with other work."""

    def try_again(self) -> None:
        """Take up the points that were put off: there is new work. The first kills are theirs."""
        for name, point in self.later:
            self.points[name].append(point)
        self.later.clear()
        for points in self.points.values():
            points.sort(key=CORE.__contains__)  # the last ones are taken first

    def disturb(self, name: str, words: Sequence[str], kills: int) -> None:
        """Kill the program up to ``kills`` times."""
        for _ in range(kills):
            points = self.points.get(name, [])
            point = points.pop() if points and self.random.random() < 0.7 else None
            typical = self.durations.get(name, FIRST_GUESS_SECONDS)
            seconds: float | None = typical * self.random.uniform(QUIET_SHARE, 1)
            if point:
                seconds = PATIENCE * typical if self.is_endless else None
            if killed := self.programs.run(*words, kill_at=point, kill_after_seconds=seconds):
                self.tally.kills += 1
                self.tally.at_points += killed == "at the point"
            if point and killed == "at the point":
                self.tally.hit.append(point)
            elif point:
                self.tally.missed[point] = self.tally.missed.get(point, 0) + 1
                if point in CORE or self.tally.missed[point] < TRIES:
                    self.later.append((name, point))

    def finish(self, name: str, words: Sequence[str]) -> None:
        """Run the program to its end."""
        started = time.monotonic()
        assert not self.programs.run(*words)
        self.durations[name] = time.monotonic() - started


def shuffled_points(random: Random) -> dict[str, list[str]]:
    """The named points of each program with a JVM, in random order."""
    return {name: random.sample(points, len(points)) for name, points in POINTS.items()}


def kill_jobs(
    folder: Path,
    seed: int,
    kills: int,
    tally: Tally,
    points: dict[str, list[str]],
    undisturbed: Callable[[Programs], None],
    *,
    waves: int = 2,
) -> list[str]:
    """One round with the programs that have a JVM.

    :param points: named points not tried yet; those tried are taken out.
    :param undisturbed: runs stream, merge and batch once, in the lake that is compared with.
    :param waves: how many of the two waves land.
    :return: a line for each table that is not what it should be.
    """  # fmt: skip
    random = Random(seed)
    killed = Programs(folder / "killed", maintain={"small_files": 2, "vacuum_hours": 1})
    compared = Programs(folder / "undisturbed")
    killer = Killer(killed, random, tally, points)
    wanted = tally.kills
    for wave in known_waves(folder / "source", seed)[:waves]:
        wanted += kills // waves
        land(wave, killed.lake)
        killer.try_again()
        while tally.kills < wanted:
            for name in random.sample(list(COMMANDS), len(COMMANDS)):
                killer.disturb(name, COMMANDS[name], min(random.randint(1, 3), wanted - tally.kills))
                if random.random() < FINISHED_SHARE:
                    killer.finish(name, COMMANDS[name])
        for name in ("stream", "merge", "batch"):
            killer.finish(name, COMMANDS[name])
        land(wave, compared.lake)
        undisturbed(compared)
    killer.try_again()
    return compare(killed, compared, tally)


def compare(killed: Programs, compared: Programs, tally: Tally) -> list[str]:
    """A line for each table of the first lake that is not what it is in the second."""
    expected, found = contents(compared.lake), contents(killed.lake)
    tally.rounds += 1
    tally.rows += sum(rows.total() for rows in expected.values())
    return differences(found, expected)


def kill_replay(folder: Path, seed: int, tally: Tally, undisturbed: Callable[[Programs], None]) -> list[str]:
    """One round with ``cleaner replay`` after a rule became milder, killed at each of its points; as ``kill_jobs``."""
    killed, compared = Programs(folder / "killed"), Programs(folder / "undisturbed")
    for wave in known_waves(folder / "source", seed):
        land(wave, killed.lake)
        land(wave, compared.lake)
    for programs in (killed, compared):
        undisturbed(programs)
    required: dict[str, object] = {"required": ["event_id", "timestamp", "ip"]}
    killed, compared = (Programs(programs.folder, rules=required) for programs in (killed, compared))
    for point in POINTS_OF_REPLAY:
        assert killed.run("cleaner", "replay", kill_at=point) == "at the point", f"{point}: {killed.told()}"
        tally.kills += 1
        tally.at_points += 1
    for programs in (killed, compared):
        programs.run("cleaner", "replay")
        undisturbed(programs)
    return compare(killed, compared, tally)


def kill_shared_jobs(
    folder: Path, seed: int, kills: int, tally: Tally, undisturbed: Callable[[Programs], None]
) -> list[str]:
    """One round with the jobs that run in the consumer's Spark, which does not die with them; as ``kill_jobs``."""
    random = Random(seed)
    killed, compared = Programs(folder / "killed"), Programs(folder / "undisturbed")
    with running_stream(killed):
        for wave in known_waves(folder / "source", seed):
            wanted = tally.kills + kills // 2
            land(wave, killed.lake)
            assert not killed.starts_java(*COMMANDS["merge"]), "the job had a Spark of its own"
            while tally.kills < wanted:
                land(wave, killed.lake)  # those taken already are replays
                words = COMMANDS["merge"]
                seconds = random.uniform(*SHARED_SECONDS)
                tally.kills += bool(killed.run(*words, kill_after_seconds=seconds, tolerated=RIVAL))
            land(wave, compared.lake)
            undisturbed(compared)
    for name in ("stream", "merge", "batch"):
        killed.run(*COMMANDS[name])
    tables = ("merged", "delta", *(f"metrics/batch/{grain}" for grain in EXACT_GRAINS if grain != "country"))
    expected, found = contents(compared.lake), contents(killed.lake)
    tally.rounds += 1
    tally.rows += sum(expected[name].total() for name in tables)
    return differences({t: found[t] for t in tables}, {t: expected[t] for t in tables})


@contextmanager
def running_stream(programs: Programs) -> Iterator["subprocess.Popen[bytes]"]:
    """``consumer stream``, which the jobs share Spark with; killed at the end if it has not ended before."""
    process = programs.start("consumer", "stream")
    try:
        deadline = time.monotonic() + START_SECONDS
        while not programs.lake.shared_spark.exists():
            assert process.poll() is None, programs.told()
            assert time.monotonic() < deadline, programs.told()
            time.sleep(0.2)
        yield process
    finally:
        kill(process)


def known_waves(folder: Path, seed: int) -> list[list[Path]]:
    """Landed files in the order in which they arrive, wave by wave, made by the simulator: the same for the same seed.

    With duplicates, late, incomplete and unparsable rows, a file that is refused, and files that come again, under
    their own name and under another.
    """
    landed = []
    for file_format in ("parquet", "json"):
        made = Programs(folder / file_format, landing={"format": file_format, "batch_rows": 60})
        made.run(
            "producer", "simulate", "--events", "180", "--seed", str(seed), "--duplicates", "0.1", "--late", "0.1",
            "--nulls", "0.05", "--malformed", "0.05",
        )  # fmt: skip
        for number, path in enumerate(waiting_files(made.lake.landing)):
            landed.append(path.rename(folder / f"{number}-{seed}.{file_format}"))
        seed += 1000
    landed.sort()
    broken = folder / "broken.parquet"
    broken.write_bytes(landed[0].read_bytes()[:-100])
    again = folder / "9-again.json"
    shutil.copy(folder / next(p for p in landed if p.suffix == ".json"), again)
    half = len(landed) // 2
    return [[*landed[:half], broken], [*landed[half:], landed[0], again]]


def land(files: Sequence[Path], lake: Lake) -> None:
    """Copy files into the landing folder as a producer publishes them."""
    lake.landing.mkdir(parents=True, exist_ok=True)
    for path in files:
        hidden = lake.landing / f".{path.name}.tmp"
        shutil.copyfile(path, hidden)
        hidden.rename(lake.landing / path.name)
