"""The usual keys of a request's fields in JSON, and in LTSV, by our column. Plain data, and how loosely keys are compared.

Of several keys the first counts that the line has, with a value that says something. A dotted key is a path through objects, or a
key with dots. They are those of nginx (by its variables), Apache, Caddy, Traefik, Envoy, ECS and ELK, Cloudflare, Google's load
balancers, Fastly, Netlify and of common loggers.
"""

from collections.abc import Mapping

Keys = Mapping[str, tuple[str, ...]]

JSON_KEYS: Keys = {
    "time": (
        "time_iso8601", "time_local", "msec", "StartUTC", "StartLocal", "start_time", "EdgeStartTimestamp", "@timestamp",
        "timestamp", "time", "ts", "datetime", "date", "requestTime", "requestTimeEpoch", "time_start", "started_at",
        "startTime", "timeStamp", "asctime", "@t", "reqTimeSec", "time_2", "timestamp_2", "@timestamp_2",
    ),
    "ip": (
        "remote_addr", "request.client_ip", "client_ip", "clientip", "ip", "client.ip", "client.address", "source.ip",
        "source.address", "ClientIP", "clientIp", "client_addr", "httpRequest.remoteIp", "httpRequest.clientIp",
        "request.remote_ip", "remote_ip", "remoteIP", "remoteIp", "ClientHost", "ClientAddr", "client", "remote_address",
        "remoteAddress", "remoteAddr", "downstream_direct_remote_address", "downstream_remote_address", "remote_host",
        "remotehost", "remoteHost", "request.remote_addr", "req.remoteAddress", "nginx.access.remote_ip", "c_ip", "c-ip",
        "clientIP", "remote", "peer", "cliIP", "proxy.clientIp", "network.client.ip", "http.client_ip", "net.peer.ip",
    ),
    "user": ("remote_user", "user", "user_id", "user.name", "ClientUsername", "remoteUser", "username", "auth", "cs-username"),
    "request": ("request", "request_line", "requestLine", "req", "http.request.line"),
    "method": (
        "request_method", "method", "requestMethod", "verb", "http.request.method", "http.method", "request.method",
        "RequestMethod", "ClientRequestMethod", "httpMethod", "http_method", "httpRequest.requestMethod",
        "httpRequest.httpMethod", "req_method", "req.method", "nginx.access.method", ":method", "reqMethod", "proxy.method", "cs-method",
    ),
    "target": (
        "proxy.path", "request_uri", "requestUri", "uri", "url.original", "url", "request.uri", "RequestPath", "ClientRequestURI",
        "httpRequest.requestUrl", "httpRequest.uri", "path", "url.path", "uri_path", "requestPath", "request_path",
        "ClientRequestPath", "request.path", "x_envoy_original_path", "url.full", "request.url", "req.url",
        "nginx.access.url", "x_envoy_origin_path", "x-envoy-origin-path", "x-envoy-original-path",
        "http.target", "http.url", "reqPath", "cs-uri-stem",
    ),
    "arguments": (
        "args", "query_string", "query", "queryString", "url.query", "httpRequest.args", "arguments", "querystring",
        "requestQuery", "queryStr", "cs-uri-query",
    ),
    "protocol": (
        "server_protocol", "protocol", "proto", "request.proto", "RequestProtocol", "ClientRequestProtocol", "httpversion",
        "httpRequest.protocol", "httpRequest.httpVersion", "serverProtocol", "http_version", "request.protocol",
        "http.version", "request_protocol", "httpVersion", "cs-protocol-version", "cs-version",
    ),
    "status": (
        "status", "response_code", "status_code", "statusCode", "response_status", "http.response.status_code", "DownstreamStatus",
        "EdgeResponseStatus", "httpRequest.status", "response.status", "http_status", "httpStatusCode", "response", "code",
        "OriginStatus", "res.statusCode", "nginx.access.response_code", "httpStatus", "responseCodeSent", "proxy.statusCode", "http.status_code", "sc-status",
    ),
    "bytes": (
        "body_bytes_sent", "bytes_sent", "bytes", "size", "response_size", "http.response.body.bytes", "http.response.bytes",
        "DownstreamContentSize", "EdgeResponseBytes", "httpRequest.responseSize", "responseLength", "response_length",
        "bodyBytesSent", "bytesSent", "body_bytes", "bytes_out", "resp_body_size", "length", "response.size", "sent_bytes",
        "response.bytes", "nginx.access.body_sent.bytes", "response_body_size", "responseBytes", "sentBytes",
        "network.bytes_written", "sc-bytes",
    ),
    "referer": (
        "http_referer", "http_referrer", "referer", "referrer", "http.request.referrer", "request.headers.Referer",
        "request_Referer", "ClientRequestReferer", "httpRequest.referer", "httpReferer", "request_referer",
        "request.headers.referer", "Referer", "http.referer", "proxy.referer", "cs(Referer)",
    ),
    "agent": (
        "http_user_agent", "user_agent", "agent", "user_agent.original", "ua", "userAgent", "request.headers.User-Agent",
        "request_User-Agent", "ClientRequestUserAgent", "httpRequest.userAgent", "useragent", "httpUserAgent",
        "request_user_agent", "request.headers.user-agent", "UserAgent", "User-Agent", "user-agent",
        "req.headers.user-agent", "nginx.access.agent", "nginx.access.user_agent", "http.useragent", "proxy.userAgent",
        "http.user_agent", "cs(User-Agent)",
    ),
    "site": (
        "host", "http_host", "server_name", "vhost", "url.domain", "domain", "request.host", "RequestHost", "ClientRequestHost",
        "authority", ":authority", "virtual_host", "virtualHost", "httpHost", "serverName", "request.headers.host",
        "request.headers.Host", "req.headers.host", "hostName", "reqHost", "proxy.host", "http.host", "x-host-header",
        "cs(Host)",
    ),
}  # fmt: skip
# Below these the fields of a request may stand as if at the top, if there is no request at the top.
NESTING_KEYS = (
    "@fields", "fields", "json", "event_data", "jsonPayload", "data", "log", "message", "msg", "event", "payload", "record", "body",
    "attributes", "properties", "_source", "result",
)  # fmt: skip
# Keys whose value is a full URL as a rule: its path and host are taken apart.
URL_KEYS = frozenset(
    ["httpRequest.requestUrl", "url.full", "url.original", "request.url", "http.url", "properties.requestUri"]
)

# Where LTSV's labels mean something else than JSON's keys.
LTSV_KEYS: Keys = dict(JSON_KEYS) | {
    "ip": ("remote_addr", "host", "remotehost", "client", "ip", "client_ip", "remote_host"),
    "site": ("vhost", "http_host", "server_name", "domain", "server"),
}


def loose_name(key: str) -> str:
    """A key however its words are joined and written: ``Status-Code``, ``statusCode``, ``status_code``."""
    return key.lower().replace("-", "").replace("_", "")
