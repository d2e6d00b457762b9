"""Lakes to measure on: empty ones, those made once for several rows, and copies for each run. I/O; no JVM."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import yaml

from bench.measure import Bench
from lakehouse.layout import adopt
from lakehouse.settings import Settings, load_settings
from producer.landing import Lander


@dataclass(frozen=True)
class BenchLake:
    """A lake with a settings file of its own; all other settings are the defaults."""

    folder: Path

    @property
    def conf(self) -> Path:
        """The settings file."""
        return self.folder / "pipeline.yaml"

    @property
    def settings(self) -> Settings:
        """The settings."""
        return load_settings(self.conf)

    @property
    def data(self) -> Path:
        """Its ``data_lake/``."""
        return self.folder / "data_lake"

    def land(self, rows: pl.DataFrame, *, batch_rows: int = 100_000) -> None:
        """Publish rows as the producer does."""
        lander = Lander(self.settings.lake.landing, "parquet", batch_rows=batch_rows, batch_seconds=3600)
        lander.add(rows)
        lander.flush()


def new_lake(folder: Path) -> BenchLake:
    """An empty lake."""
    lake = BenchLake(folder)
    folder.mkdir(parents=True)
    _write_conf(lake)
    adopt(lake.settings.lake)
    return lake


def copy(lake: BenchLake, folder: Path, **groups: dict[str, object]) -> BenchLake:
    """A lake that shares the data files, which nobody changes, and has a copy of everything else.

    :param groups: groups of settings that differ from the defaults.
    """
    copied = BenchLake(folder)
    folder.mkdir(parents=True)
    shutil.copytree(lake.data, copied.data, copy_function=_link_or_copy)
    _write_conf(copied, **groups)
    return copied


def kept(bench: Bench, name: str, made: Callable[[Path], BenchLake]) -> BenchLake:
    """The lake of that name, made if it is not there yet: elsewhere, since one half made must not be taken for it."""
    lake = BenchLake(bench.made / name)
    if lake.data.exists():
        return lake
    bench.say(f"making the lake {name}")
    hidden = lake.folder.with_name(f".{name}")
    shutil.rmtree(hidden, ignore_errors=True)
    return _moved(made(hidden), lake.folder)


def _moved(lake: BenchLake, folder: Path) -> BenchLake:
    """The lake in another place."""
    lake.folder.rename(folder)
    _write_conf(BenchLake(folder))
    return BenchLake(folder)


def _write_conf(lake: BenchLake, **groups: dict[str, object]) -> None:
    paths = {"data_lake": str(lake.data.absolute()), "log": str((lake.folder / "log").absolute())}
    lake.conf.write_text(yaml.safe_dump({"paths": paths} | groups), encoding="utf-8")


def _link_or_copy(source: str, target: str) -> None:
    is_data = source.endswith(".parquet") and not {"_delta_log", "_checkpoints", "logs_to_merge"} & set(
        Path(source).parts
    )
    if is_data:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
