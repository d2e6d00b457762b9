"""The columns of the metrics tables by name: for who asks what a table has, without Spark. Types: ``lakehouse.schema``."""

_FIGURES = ("bytes", "client_errors", "server_errors", "bot_requests", "first_seen", "last_seen")

# What makes a row of each table. An agent is null where none was sent.
METRIC_KEYS = {"daily": ("event_date",), "ip": ("event_date", "ip"), "agent": ("event_date", "agent")}

METRIC_COLUMNS = {
    # One row per day (UTC). A visitor is one (IP, day, agent).
    "daily": (*METRIC_KEYS["daily"], "requests", "visitors", "ips", *_FIGURES),
    # One row per day and IP. Its visitors are the distinct agents seen from it.
    "ip": (*METRIC_KEYS["ip"], "requests", "visitors", *_FIGURES),
    # One row per day and agent. Its visitors are the distinct IPs seen with it.
    "agent": (*METRIC_KEYS["agent"], "requests", "visitors", *_FIGURES),
}
