"""Settings: ``conf/pipeline.yaml``, overridden by ``PIPELINE_*`` environment variables. Loaded once and passed down."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SettingsSourceError

from lakehouse.errors import SettingsError
from lakehouse.fixed_conf import FIXED
from lakehouse.lake import STAGED_FOLDER, Lake
from lakehouse.logs import printable

DEFAULT_CONF = Path("conf/pipeline.yaml")
ENV_PREFIX = "PIPELINE_"

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1)]
LandingFormat = Literal["parquet", "json"]
JobName = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]*$")]  # it names a log file and a lock


class Group(BaseModel):
    """A group of settings: an unknown key is an error, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(Group):
    """Where the pipeline's files are; relative paths count from the working directory."""

    data_lake: Path = Path("data_lake")
    log: Path = Path("log")


class Landing(Group):
    """How the producer lands batches in ``logs_to_merge/``."""

    format: LandingFormat = "parquet"
    batch_rows: Positive = 100_000
    batch_seconds: Seconds = 5


class Simulate(Group):
    """What the simulator makes. Shares are parts of all events."""

    rate: Annotated[float, Field(gt=0)] = 100
    visitors: Positive = 5000
    paths: Positive = 500
    duplicates: Share = 0.02
    late: Share = 0.01
    nulls: Share = 0.005
    malformed: Share = 0.005
    bots: Share = 0.15


JsonColumn = Literal[
    "timestamp",
    "ip",
    "user",
    "request",
    "method",
    "path",
    "query",
    "protocol",
    "status",
    "bytes",
    "referer",
    "agent",
    "site",
]


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8, or an address") from None


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a time zone such as Europe/Berlin or UTC") from None
    return value


class Ingest(Group):
    """How real logs are read."""

    site: str = ""
    log_format: str = "auto"
    site_from_name: str | None = None
    truncate_ips: bool = False
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = []
    client_field: Annotated[str, Field(min_length=1)] | None = None
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    # From our column to the dotted path of the key in JSON.
    json_fields: dict[JsonColumn, Annotated[str, Field(min_length=1)]] = {}
    # Escaped, as it lands, a line has up to seven times its bytes: still less than a reader takes (``landed.MAX_TEXT_BYTES``).
    max_line_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 1_048_576
    quiet_seconds: Seconds = 2
    poll_seconds: Seconds = 0.5


REQUIRABLE = frozenset(
    [
        "event_id",
        "timestamp",
        "ip",
        "user",
        "method",
        "path",
        "query",
        "protocol",
        "status",
        "bytes",
        "referer",
        "agent",
        "site",
        "source",
    ]
)


def _requirable(columns: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [c for c in columns if c not in REQUIRABLE]
    if unknown:
        raise ValueError(f"no such column: {', '.join(unknown)}; allowed: {', '.join(sorted(REQUIRABLE))}")
    missing = [c for c in ("event_id", "timestamp") if c not in columns]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be among them: they identify a request")
    return columns


class Rules(Group):
    """What makes a request valid; a row that breaks one goes to ``quarantine/`` with the reason."""

    required: Annotated[tuple[str, ...], AfterValidator(_requirable)] = ("event_id", "timestamp", "ip", "status")
    future_seconds: Annotated[float, Field(ge=0)] = 86_400
    earliest: date = date(1990, 1, 1)
    status_min: int = 100
    status_max: int = 599


class Merge(Group):
    """The cleaner's merge."""

    lock_seconds: Annotated[float, Field(ge=0)] = 50
    max_ranges: Positive = 20
    max_rows: Positive = 2_000_000
    small_files: Annotated[int, Field(ge=2)] = 32


class Stream(Group):
    """The streaming consumer."""

    archive_trigger_seconds: Seconds = 0.5
    metrics_trigger_seconds: Seconds = 0.25
    gather_seconds: Annotated[float, Field(ge=0)] = 8
    max_files_per_batch: Positive = 20
    watermark_seconds: Seconds = 3600
    sketch_lg_k: Annotated[int, Field(ge=4, le=21)] = 12
    stop_seconds: Seconds = 60


class Batch(Group):
    """The exact metrics."""

    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*(MB|GB)$")] = "512MB"
    max_values: Positive = 50_000
    static_endings: tuple[str, ...] = (
        ".avif", ".bmp", ".css", ".eot", ".gif", ".ico", ".jpeg", ".jpg", ".js", ".map", ".mjs", ".mp3", ".mp4", ".ogg",
        ".otf", ".png", ".svg", ".ttf", ".wasm", ".webm", ".webmanifest", ".webp", ".woff", ".woff2",
    )  # fmt: skip
    duration: str = "request_time"
    recount_after_seconds: Annotated[float, Field(ge=0, le=315_360_000)] = 3600


class Page(Group):
    """The page in a browser. Beyond the loopback it is shown only to who knows ``token``.

    ``published_host``: where a container's port is published, if not at ``host`` itself. ``time_zone``: of its days and hours,
    where the address names none.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    published_host: str | None = None
    # A variable that is set to nothing switches it off.
    token: Annotated[
        Annotated[str, Field(min_length=16, pattern="^[A-Za-z0-9._~-]+$")] | None,
        BeforeValidator(lambda token: token or None),
    ] = None
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]*(MB|GB)$")] = "160MB"
    query_seconds: Seconds = 10
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"


class Maintain(Group):
    """Thresholds of ``cleaner maintain``."""

    small_files: Annotated[int, Field(ge=2)] = 8
    vacuum_hours: Positive = 168
    logs_days: Positive = 30
    landed_days: Positive = 7
    ledger_days: Positive = 30


def _without_fixed(conf: dict[str, str]) -> dict[str, str]:
    changed = [key for key, value in conf.items() if key in FIXED and value != FIXED[key].value]
    if changed:
        raise ValueError("; ".join(f"{key} must stay {FIXED[key].value}: {FIXED[key].reason}" for key in changed))
    return conf


class Spark(Group):
    """The engine of the periodic jobs, and where it runs.

    ``engine``: Apache Spark, or Sail for the jobs that it can do. ``master`` is for a JVM of our own (local or a
    cluster's), ``remote`` for a Spark Connect server of either engine. ``shared``: the consumer lets the jobs into its JVM
    for a minute's work, at ``shared_host``, one of its machine's names.
    """

    engine: Literal["spark", "sail"] = "spark"
    master: str = "local[*]"
    remote: str | None = None
    shared: bool = True
    shared_host: str = "127.0.0.1"
    driver_memory: str = "1g"
    shuffle_partitions: Positive = 2
    conf: Annotated[dict[str, str], AfterValidator(_without_fixed)] = {}


# Columns that delta/ has already.
ENRICHED = REQUIRABLE | {
    "event_date", "source_offset", "ingested_at", "landed_file", "rescued", "browser", "os", "device", "is_bot",
    "bot", "bot_class", "status_class",
}  # fmt: skip


def _new_column(name: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_]{0,62}", name):
        raise ValueError("not a column's name; allowed: small letters, digits and _, a letter first")
    if name in ENRICHED:
        raise ValueError("delta/ has a column of this name already; choose another")
    return name


# Steps from the object down: .name, ['name'] or [0].
JSON_PATH = re.compile(r"\$(\.[^\s.'\[\]*]+|\['[^'*\s][^'*]*'\]|\[[0-9]+\])+")


def _json_path(field: str) -> str:
    path = field if field.startswith("$") else f"$['{field}']"
    if not JSON_PATH.fullmatch(path):
        raise ValueError("not a field; allowed: its name, or a path such as $.request.headers['Host'][0]")
    return path


class Promoted(Group):
    """A column of ``delta/`` that is read from ``rescued``: the field's name or path there, and the column's type."""

    field: Annotated[str, AfterValidator(_json_path)]
    type: Literal["string", "long", "double", "boolean", "timestamp"] = "string"


class GeoIp(Group):
    """Where requests come from: a MaxMind DB file of the user's own, with countries."""

    # A variable that is set to nothing switches it off.
    database: Annotated[Path | None, BeforeValidator(lambda path: path or None)] = None


@dataclass(frozen=True)
class Enrichment:
    """What ``delta/`` has beyond ``merged/`` and what agents are.

    :param database: the MaxMind DB file that ``country`` is from; without one there is no such column.
    :param folder: where more values than fit into memory are looked up. It may be removed when nothing is being written.
    """

    promoted: Mapping[str, Promoted]
    database: Path | None
    folder: Path


class Limits(Group):
    """Ages in seconds beyond which, and free space below which, ``status`` calls something late and exits 1."""

    merge_seconds: Seconds = 300
    batch_seconds: Seconds = 900
    maintain_seconds: Seconds = 172_800
    stream_seconds: Seconds = 120
    producer_seconds: Seconds = 60
    landed_seconds: Seconds = 300
    free_megabytes: Annotated[float, Field(ge=0)] = 100


def _cron(expression: str) -> str:
    from crontab import CronSlices

    expression = " ".join(expression.split())
    is_reboot = expression.lower().endswith("reboot")  # python-crontab takes it; it is no time
    if is_reboot or not CronSlices.is_valid(expression):
        raise ValueError("not a cron expression; allowed: five fields as in crontab(5), e.g. '*/5 * * * *'")
    return expression


class Job(Group):
    """A periodic job: when it runs and the program and command that it is."""

    cron: Annotated[str, AfterValidator(_cron)]
    program: Literal["producer", "consumer", "cleaner"]
    command: str


DEFAULT_JOBS = {
    "merge": {"cron": "* * * * *", "program": "cleaner", "command": "merge"},
    "batch": {"cron": "*/2 * * * *", "program": "consumer", "command": "batch"},
    "maintain": {"cron": "17 3 * * *", "program": "cleaner", "command": "maintain"},
}


class Settings(BaseSettings):
    """All settings of the pipeline. The defaults here are those of ``conf/pipeline.yaml``."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, case_sensitive=False
    )

    paths: Paths = Paths()
    landing: Landing = Landing()
    simulate: Simulate = Simulate()
    ingest: Ingest = Ingest()
    rules: Rules = Rules()
    merge: Merge = Merge()
    stream: Stream = Stream()
    batch: Batch = Batch()
    page: Page = Page()
    maintain: Maintain = Maintain()
    spark: Spark = Spark()
    geoip: GeoIp = GeoIp()
    promoted: dict[Annotated[str, AfterValidator(_new_column)], Promoted] = {}
    limits: Limits = Limits()
    jobs: dict[JobName, Job] = {name: Job.model_validate(job) for name, job in DEFAULT_JOBS.items()}

    @property
    def lake(self) -> Lake:
        """The lake's folders."""
        return Lake(self.paths.data_lake)

    @property
    def tables(self) -> dict[str, Path]:
        """The Delta tables that a pipeline with these settings makes, by the name shown to the user."""
        is_located = self.geoip.database is not None
        return {name: path for name, path in self.lake.tables.items() if is_located or name != "metrics/batch/country"}

    @property
    def enrichment(self) -> Enrichment:
        """What is written into ``delta/`` beyond ``merged/``."""
        return Enrichment(self.promoted, self.geoip.database, self.lake.landing / STAGED_FOLDER)

    @field_validator("promoted")
    @classmethod
    def _without_country(cls, promoted: dict[str, Promoted], info: ValidationInfo) -> dict[str, Promoted]:
        geoip = info.data.get("geoip")
        if "country" in promoted and geoip is not None and geoip.database is not None:
            raise ValueError("country is made by geoip.database; give this column another name, or set that to null")
        return promoted

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose content arrives as init arguments."""
        return env_settings, init_settings


# Groups whose keys are names that the user gives, and what each name stands for.
NAMED = {"jobs": Job, "promoted": Promoted}


def load_settings(conf: Path = DEFAULT_CONF) -> Settings:
    """Read the settings of ``conf`` and the environment.

    :raises SettingsError: the file cannot be read, or a key or value is not allowed; says file, key, value, what is allowed.
    """
    try:
        content = yaml.safe_load(conf.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{conf}: no such settings file; run from the project's root or name one with --conf"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{conf}: cannot be read as YAML: {error}") from None
    return unpack_settings(content, str(conf))


def unpack_settings(content: object, origin: str) -> Settings:
    """Settings from a parsed YAML document. The environment is read here too.

    :param origin: the file's name, for messages.
    :raises SettingsError: as ``load_settings``.
    """
    if content is None:
        content = {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"{origin}: must be a mapping of groups such as 'paths:', not {type(content).__name__}")
    _refuse_unknown_variables()
    try:
        return Settings(**content)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(origin, e) for e in error.errors())) from None
    except SettingsSourceError as error:  # a variable that should be JSON and is not
        found = re.search(r'field "(\w+)"', str(error))
        name = f"{ENV_PREFIX}{found[1].upper()}" if found else f"{ENV_PREFIX}..."
        value = printable(repr(os.environ.get(name, "")))
        raise SettingsError(f'environment: {name} = {value}: must be JSON, such as {{"key": "value"}}') from None


def _refuse_unknown_variables() -> None:
    for name in os.environ:
        group = name.upper().removeprefix(ENV_PREFIX).split("__")[0].lower()
        if name.upper().startswith(ENV_PREFIX) and group not in Settings.model_fields:
            allowed = ", ".join(f"{ENV_PREFIX}{field.upper()}__..." for field in Settings.model_fields)
            raise SettingsError(f"environment: {name}: no such group of settings; allowed: {allowed}")


def _explain(origin: str, error: Any) -> str:
    keys = [str(part) for part in error["loc"]]
    variable = ENV_PREFIX + "__".join(keys).upper()
    place = f"environment: {variable}" if variable in {n.upper() for n in os.environ} else f"{origin}: {'.'.join(keys)}"
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key; allowed: {', '.join(_allowed_keys(keys[:-1]))}"
    return f"{place} = {printable(repr(error['input']))}: {error['msg'].removeprefix('Value error, ')}"


def _allowed_keys(path: list[str]) -> list[str]:
    model: Any = Settings
    for key in path:
        if key in NAMED:
            model = NAMED[key]
            break
        model = model.model_fields[key].annotation
    return sorted(model.model_fields)
