"""IPs that behave as scanners and scrapers do, each with the rule that flagged it. I/O by way of the reader."""

from consumer.components.count_sql import ends_with
from consumer.page.lists import REQUESTS, SEEN, chosen, key, page_of
from consumer.page.panel import Column, Panel, Rows
from consumer.page.question import Question
from consumer.page.reader import LakeReader

MIN_REQUESTS = 20
ERROR_SHARE = 0.5
AGENTS = 10
PROBES = 3
# Paths that scanners ask for, and hardly any visitor does. In RE2's syntax, on the path in small letters.
PROBED = (
    r"^/+(\.(env|git|aws|svn|ssh|hg)\b|wp-(login|admin|includes|content/plugins)|xmlrpc\.php|phpmyadmin|pma/|mysql/|vendor/phpunit"
    r"|cgi-bin/|boaform|hnap1|actuator|manager/html|solr/|owa/|ecp/|autodiscover|_ignition|telescope|server-status|console/"
    r"|shell|setup\.php|config\.(php|json|ya?ml)|backup|\w+\.(sql|bak|tar\.gz|zip)$)|/etc/passwd|\.\./"
)
RULES = {
    "errors": f"{ERROR_SHARE:.0%} or more of at least {MIN_REQUESTS} requests were client errors (4xx)",
    "probes": f"{PROBES} or more requests for paths that are known to be vulnerable",
    "agents": f"{AGENTS} or more agents",
    "no_static": f"{MIN_REQUESTS} or more pages, and no static file, by what calls itself a browser",
}
COLUMNS = (
    key("ip"), Column("rule", "Rule", "text"), Column("evidence", "Evidence", "text"), REQUESTS, *SEEN,
)  # fmt: skip


def suspicious(reader: LakeReader, question: Question) -> Rows:
    """A row for each IP and rule that it breaks; those with the most requests first."""
    choice = chosen(question, COLUMNS)
    counted_as = reader.version.counted_as
    static = ends_with(counted_as.static_endings if counted_as else ())
    query = f"""
        WITH paths AS MATERIALIZED (  -- a pattern costs more than anything else here
            SELECT path, regexp_matches(lower(path), $probed) AS is_probed, regexp_matches(lower(path), $static) AS is_static
            FROM (SELECT DISTINCT path FROM t)
        ), ips AS MATERIALIZED (
            SELECT ip, count(*) AS requests, count(*) FILTER (status BETWEEN 400 AND 499) AS errors,
                count(*) FILTER (is_probed) AS probes, count(DISTINCT agent) AS agents,
                count(*) FILTER (status < 400 AND method = 'GET' AND NOT is_bot AND NOT is_static) AS pages,
                count(*) FILTER (is_static) AS files,
                epoch_us(min("timestamp")) AS first_seen, epoch_us(max("timestamp")) AS last_seen
            FROM t LEFT JOIN paths USING (path) WHERE ip IS NOT NULL AND {question.filters.condition} GROUP BY ip
        ), flagged AS (
            SELECT ip, 'errors' AS broken, errors AS evidence, requests, first_seen, last_seen FROM ips
                WHERE requests >= {MIN_REQUESTS} AND errors >= {ERROR_SHARE} * requests
            UNION ALL SELECT ip, 'probes', probes, requests, first_seen, last_seen FROM ips WHERE probes >= {PROBES}
            UNION ALL SELECT ip, 'agents', agents, requests, first_seen, last_seen FROM ips WHERE agents >= {AGENTS}
            UNION ALL SELECT ip, 'no_static', pages, requests, first_seen, last_seen FROM ips
                WHERE pages >= {MIN_REQUESTS} AND files = 0
        )
        SELECT ip, broken, evidence, requests, first_seen, last_seen
        FROM (SELECT *, list_position($rules, broken) AS rule FROM flagged) WHERE {"contains(lower(ip), lower($search))" if choice.search else "true"}
        ORDER BY {choice.order("ip", "rule")} LIMIT {choice.limit} OFFSET {choice.offset}
    """
    parameters = question.filters.parameters | {
        "probed": PROBED,
        "static": static,
        "rules": sorted(RULES, key=lambda name: RULES[name]),
    }
    parameters |= {"search": choice.search} if choice.search else {}
    found = reader.rows("batch", "requests", query, parameters)
    rows = [(ip, RULES[rule], _evidence(rule, n, requests), requests, *seen) for ip, rule, n, requests, *seen in found]
    return page_of(rows, question, requests=None)


def _evidence(rule: str, number: int, requests: int) -> str:
    if rule == "errors":
        return f"{number:,} of {requests:,} requests"
    return f"{number:,} {'agents' if rule == 'agents' else 'pages' if rule == 'no_static' else 'requests'}"


PANEL = Panel("suspicious", "Suspicious IPs", COLUMNS, suspicious, "Reasons to look, not proof.", is_list=True)
