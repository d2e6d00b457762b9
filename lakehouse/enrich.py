"""What is known of a column's values joined to requests: found once for each distinct value, on the driver, and joined back."""

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lakehouse.agents import AGENT_COLUMNS, PARSED_CHARACTERS, parse_agent, parse_kind, parsed_part
from lakehouse.schema import DELTA, STRING

AGENTS_AT_ONCE = 20_000  # of 1,024 characters: 80 MB at the very most


@dataclass(frozen=True)
class Knowledge:
    """What can be known of a column's values.

    :param column: the column of requests.
    :param key: what is looked at of it; short, whatever came.
    :param fields: the columns that are joined.
    :param find: their values for a key, which may be null.
    :param at_once: how many distinct keys are held in memory.
    :param most: for how many keys of a batch ``find`` is called; at least ``at_once``. None: for all.
    :param find_less: the values for the others, those with the fewest requests; required with ``most``.
    """

    column: str
    key: Column
    fields: tuple[T.StructField, ...]
    find: Callable[[str | None], tuple[Any, ...]]
    at_once: int
    most: int | None = None
    find_less: Callable[[str | None], tuple[Any, ...]] | None = None

    @property
    def key_name(self) -> str:
        """The name of the key's column while it is joined."""
        return f"known_{self.column}"

    @property
    def schema(self) -> T.StructType:
        """The key and what is known of it."""
        return T.StructType([T.StructField(self.key_name, STRING), *self.fields])

    def rows(self, keys: Iterable[str | None]) -> list[tuple[Any, ...]]:
        """What is known of these keys, in the columns of ``schema``."""
        return [(key, *self.find(key)) for key in keys]

    def rows_by_requests(self, counted: Iterable[tuple[str | None, int]], few: int) -> list[tuple[Any, ...]]:
        """As ``rows``, but with ``find_less`` for keys that have ``few`` requests or fewer.

        :param counted: keys with their numbers of requests.
        """
        find_less = self.find_less or self.find
        return [(key, *(find_less if requests <= few else self.find)(key)) for key, requests in counted]


def agents_known(most: int | None) -> Knowledge:
    """Browser, OS, device, bot or human, and which bot, of an ``agent``.

    :param most: of how many agents of a batch the browser and the OS are looked up; None: of all.
    """
    return Knowledge(
        column="agent",
        key=F.substring("agent", 1, PARSED_CHARACTERS),
        fields=tuple(DELTA[name] for name in AGENT_COLUMNS),
        find=lambda agent: astuple(parse_agent(agent)),
        at_once=AGENTS_AT_ONCE,
        most=most,
        find_less=lambda agent: astuple(parse_kind(agent)),
    )


def bots_known() -> Knowledge:
    """Bot or human, of an ``agent``."""
    return Knowledge(
        column="agent",
        key=F.substring("agent", 1, PARSED_CHARACTERS),
        fields=(DELTA["is_bot"],),
        find=lambda agent: (parse_kind(agent).is_bot,),
        at_once=AGENTS_AT_ONCE,
    )


def with_known(requests: DataFrame, knowledge: Knowledge, known: DataFrame) -> DataFrame:
    """``requests`` with what is known of each.

    :param known: each key of theirs once, in the columns of ``knowledge.schema``.
    """
    is_same = knowledge.key.eqNullSafe(F.col(knowledge.key_name))
    return requests.join(known, on=is_same, how="left").drop(knowledge.key_name)


def with_bots(requests: DataFrame, agents: Iterable[str | None]) -> DataFrame:
    """``requests`` with ``is_bot`` of their ``agent``.

    :param agents: all of theirs; held in memory.
    """
    knowledge = bots_known()
    keys = {None if agent is None else parsed_part(agent) for agent in agents}
    known = requests.sparkSession.createDataFrame(knowledge.rows(keys), knowledge.schema)
    return with_known(requests, knowledge, F.broadcast(known))
