"""What the rows about the whole pipeline share: the three programs as ``docker compose up`` starts them, without Docker."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.lakes import BenchLake
from bench.process import Program
from bench.programs import start

# As docker-compose.yml and the Dockerfile set them; the producer has nothing set.
IMAGE = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
CONSUMER = IMAGE | {"PIPELINE_SPARK__DRIVER_MEMORY": "512m"}
CLEANER = IMAGE | {"PIPELINE_SPARK__DRIVER_MEMORY": "512m"}


@contextmanager
def consumer_and_cleaner(lake: BenchLake) -> Iterator[Mapping[str, Program]]:
    """The stream, and the schedule of the jobs, by name; ended with the block if they still run."""
    with (
        start(lake, "stream", "consumer", "stream", environment=CONSUMER) as consumer,
        start(lake, "schedule", "cleaner", "schedule", environment=CLEANER) as cleaner,
    ):
        yield {"consumer": consumer, "cleaner": cleaner}


def simulator(lake: BenchLake, rate: int | None = None) -> Program:
    """The producer.

    :param rate: events per second; by default that of the settings, as in the container.
    """
    words = () if rate is None else ("--rate", str(rate))
    return start(lake, "simulate", "producer", "simulate", *words)
