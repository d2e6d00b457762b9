"""Formats of servers that write another text than Combined, each recognised by its own look. Pure."""

from producer.formats.directives import nginx_pattern
from producer.formats.text import IN_QUOTES, Pattern

_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"

S3 = nginx_pattern(
    "s3",
    '$bucket_owner $bucket [$time_local] $remote_addr $remote_user $request_id $operation $key "$request" $status'
    " $error_code $bytes_sent $object_size $total_time $turn_around_time"
    ' "$http_referer" "$http_user_agent"',
    has_tail=True,
)
ALB = nginx_pattern(
    "alb",
    "$type $time_iso8601 $elb $remote_addr $target $request_processing_time $target_processing_time"
    " $response_processing_time $status $target_status_code $received_bytes $bytes_sent"
    ' "$request" "$http_user_agent" $ssl_cipher $ssl_protocol',
    has_tail=True,
    has_url=True,
)
# A TCP listener writes no status and "- - - " for the request; the first logs had neither the agent nor what is behind it.
_ELB = (
    "$time_iso8601 $elb $remote_addr $backend $request_processing_time $backend_processing_time"
    ' $response_processing_time $status $backend_status_code $received_bytes $bytes_sent "$request"'
)
ELB = nginx_pattern("elb", f'{_ELB} "$http_user_agent" $ssl_cipher $ssl_protocol', has_tail=True, has_url=True)
FIRST_ELB = nginx_pattern("elb", _ELB, has_url=True)
NGINX_PROXY_MANAGER = nginx_pattern(
    "nginx-proxy-manager",
    "[$time_local] $upstream_cache_status $upstream_status $status - $request_method $scheme $host"
    ' "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] [Sent-to $server]'
    ' "$http_user_agent" "$http_referer"',
)
NGINX_PROXY_MANAGER_STANDARD = nginx_pattern(
    "nginx-proxy-manager",
    '[$time_local] $status - $request_method $scheme $host "$request_uri" [Client $remote_addr]'
    ' [Length $body_bytes_sent] [Gzip $gzip_ratio] "$http_user_agent" "$http_referer"',
)
# Its text of today names the peer near the end, between the local and the requested address; Envoy's own default does not.
ISTIO = nginx_pattern(
    "envoy",
    '[$time_iso8601] "$request" $status $response_flags $response_code_details $connection_termination_details'
    ' "$upstream_transport_failure_reason" $bytes_received $bytes_sent $duration $upstream_service_time'
    ' "$http_x_forwarded_for" "$http_user_agent" "$request_id" "$host" "$upstream_host" $upstream_cluster'
    " $upstream_local_address $downstream_local_address $remote_addr $requested_server_name $route_name",
)
ENVOY = Pattern(
    "envoy",
    (
        r'^\[(?P<time>[0-9T:.Z+-]{19,40})\] "(?P<request>' + IN_QUOTES + r')" (?P<status>[0-9]{1,3}|-) '
        r"(?P<response_flags>\S+) (?P<bytes_received>[0-9]+|-) (?P<bytes>[0-9]+|-) (?P<duration>\S+) "
        rf'(?P<upstream_service_time>\S+) "(?P<http_x_forwarded_for>{IN_QUOTES})" "(?P<agent>{IN_QUOTES})" '
        rf'"(?P<request_id>{IN_QUOTES})" "(?P<site>{IN_QUOTES})" "(?P<upstream_host>{IN_QUOTES})"(?: (?P<rest>.*))?$',
    ),
)
_HAPROXY_FRONT = rf"^(?P<ip>\S+):(?P<client_port>[0-9]+) \[(?P<time>{_TIME})(?: [+-][0-9]{{4}})?\] (?P<frontend>\S+) (?P<backend>\S+) "
_HAPROXY_LOAD = r"(?P<termination_state>\S+) (?P<connections>[0-9+/]+) (?P<queues>[0-9+/]+)"
# The second is that of connections in TCP mode, which have neither a request nor a status.
HAPROXY = Pattern(
    "haproxy",
    (
        _HAPROXY_FRONT
        + r"(?P<timers>[0-9+-]+(?:/[0-9+-]+){3,4}) (?P<status>[0-9]{3}|-1) \+?(?P<bytes>[0-9]+) "
        + rf"(?P<request_cookie>\S+) (?P<response_cookie>\S+) {_HAPROXY_LOAD}"
        + r'(?: (?P<captured>\{.*\}))? "(?P<request>.*)"(?: (?P<rest>.*))?$',
        _HAPROXY_FRONT
        + rf"(?P<timers>[0-9+-]+(?:/[0-9+-]+){{2}}) \+?(?P<bytes>[0-9]+) {_HAPROXY_LOAD}(?: (?P<rest>.*))?$",
    ),
)
# Its fields are padded with blanks.
SQUID = Pattern(
    "squid",
    (
        (
            r"^(?P<time>[0-9]{9,10}\.[0-9]{3}) +(?P<elapsed>-?[0-9]+) (?P<ip>\S+) (?P<result>[A-Z_]+)/(?P<status>[0-9]{3}) "
            r"(?P<bytes>[0-9]+) (?P<method>\S+) (?P<target>\S+) (?P<user>\S+) (?P<hierarchy>\S+) (?P<content_type>\S+)"
            r"(?: (?P<rest>.*))?$"
        ),
    ),
)

PATTERNS = (S3, ALB, ELB, FIRST_ELB, HAPROXY, ISTIO, ENVOY, NGINX_PROXY_MANAGER, NGINX_PROXY_MANAGER_STANDARD, SQUID)
