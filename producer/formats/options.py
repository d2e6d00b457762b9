"""What a reader of logs may set, as the formats need it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# The names, as ``header_name`` has them, under which the chain of a request's addresses is logged.
FORWARDED_NAMES = frozenset(
    [
        "x_forwarded_for",
        "xff",
        "xforwardedfor",
        "forwarded_for",
        "forwardedfor",
        "proxy_add_x_forwarded_for",
        "x_forwarded",
        "forwarded",
    ]
)


@dataclass(frozen=True)
class Options:
    """The settings of the group ``ingest`` that bear on what a line says.

    :param time_zone: of times without offset.
    :param json_fields: from our column to the dotted path of the key in JSON.
    :param client_field: the header that names the client; ``None`` for X-Forwarded-For.
    """

    time_zone: str = "UTC"
    json_fields: Mapping[str, str] = field(default_factory=dict)
    client_field: str | None = None

    def is_forwarded(self, name: str) -> bool:
        """Whether what is logged under ``name`` says who a proxy's client was."""
        if self.client_field is not None:
            return header_name(name) == header_name(self.client_field)
        return header_name(name) in FORWARDED_NAMES


def header_name(name: str) -> str:
    """A header's name, however a server spells it: ``X-Real-IP``, ``http_x_real_ip``, ``cs(X-Real-IP)``: ``x_real_ip``."""
    plain = name.lower().replace("-", "_").rpartition(".")[2]
    plain = plain.removeprefix("cs(").removesuffix(")")
    for prefix in ("http_", "request_", "sent_http_"):
        plain = plain.removeprefix(prefix)
    return plain
