"""``python -m bench.json_logs KIND ROWS FILE``: the requests of ``bench.logs`` as JSON, as servers write them. I/O."""

import json
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.logs import requests

Request = Mapping[str, Any]


def nginx(request: Request, rng: random.Random) -> dict[str, Any]:
    """As many ``log_format``s with ``escape=json`` have it: flat."""
    return {
        "time_iso8601": _second(request["timestamp"]), "remote_addr": request["ip"], "remote_user": request["user"] or "-",
        "request": f"{request['method']} {_target(request)} {request['protocol']}", "status": request["status"],
        "body_bytes_sent": request["bytes"] or 0, "request_time": round(rng.lognormvariate(-6, 1.5), 3),
        "http_referer": request["referer"] or "-", "http_user_agent": request["agent"] or "-", "host": "www.example.org",
        "http_x_forwarded_for": "-", "request_id": f"{rng.getrandbits(128):032x}",
    }  # fmt: skip


def traefik(request: Request, rng: random.Random) -> dict[str, Any]:
    """Thirty-odd keys in the alphabet's order, one of them only where there is a referer."""
    time, size, nanoseconds = (
        f"{request['timestamp']:%Y-%m-%dT%H:%M:%S.%f}123Z",
        request["bytes"] or 0,
        int(rng.lognormvariate(15, 1.5)),
    )
    url = {
        "Scheme": "http",
        "Opaque": "",
        "User": None,
        "Host": "10.0.0.3:80",
        "Path": "",
        "RawPath": "",
        "ForceQuery": False,
    }
    return {
        "ClientAddr": f"{request['ip']}:51000", "ClientHost": request["ip"], "ClientPort": "51000", "ClientUsername": request["user"] or "-",
        "DownstreamContentSize": size, "DownstreamStatus": request["status"], "Duration": nanoseconds, "OriginContentSize": size,
        "OriginDuration": nanoseconds, "OriginStatus": request["status"], "Overhead": 23456, "RequestAddr": "www.example.org",
        "RequestContentSize": 0, "RequestCount": rng.randrange(10**6), "RequestHost": "www.example.org", "RequestMethod": request["method"],
        "RequestPath": _target(request), "RequestPort": "-", "RequestProtocol": request["protocol"], "RequestScheme": "https",
        "RetryAttempts": 0, "RouterName": "web@docker", "ServiceAddr": "10.0.0.3:80", "ServiceName": "web@docker", "ServiceURL": url,
        "StartLocal": time, "StartUTC": time, "entryPointName": "websecure", "level": "info", "msg": "",
        **({"request_Referer": request["referer"]} if request["referer"] else {}),
        "request_User-Agent": request["agent"] or "", "time": f"{request['timestamp']:%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip


def caddy(request: Request, rng: random.Random) -> dict[str, Any]:
    """Objects in objects, lists of one text, the time and the duration as floats, headers in an order of their own in each line."""
    found = {
        "User-Agent": request["agent"],
        "Referer": request["referer"],
        "Accept": "*/*",
        "Accept-Encoding": "gzip, br",
    }
    headers = [(name, [value]) for name, value in found.items() if value]
    rng.shuffle(headers)
    return same_caddy(request, rng) | {"request": same_caddy(request, rng)["request"] | {"headers": dict(headers)}}


def same_caddy(request: Request, rng: random.Random) -> dict[str, Any]:
    """The same with the same headers in each line."""
    inner = {
        "remote_ip": request["ip"], "remote_port": str(rng.randrange(1024, 65535)), "client_ip": request["ip"], "proto": request["protocol"],
        "method": request["method"], "host": "www.example.org", "uri": _target(request),
        "headers": {"User-Agent": [request["agent"] or ""], "Accept": ["*/*"], "Accept-Encoding": ["gzip, br"]},
        "tls": {"resumed": False, "version": 772, "cipher_suite": 4865, "proto": "h2", "server_name": "www.example.org"},
    }  # fmt: skip
    return {
        "level": "info", "ts": request["timestamp"].timestamp() + rng.random(), "logger": "http.log.access.log0", "msg": "handled request",
        "request": inner, "bytes_read": 0, "user_id": "", "duration": round(rng.lognormvariate(-6, 1.5), 9), "size": request["bytes"] or 0,
        "status": request["status"], "resp_headers": {"Server": ["Caddy"], "Content-Type": ["text/html; charset=utf-8"]},
    }  # fmt: skip


def google(request: Request, rng: random.Random) -> dict[str, Any]:
    """As Google's load balancers do: objects in objects, the whole URL, numbers as texts."""
    inner = {
        "latency": f"{rng.lognormvariate(-6, 1.5):.6f}s", "remoteIp": request["ip"], "requestMethod": request["method"], "requestSize": "300",
        "requestUrl": f"https://www.example.org{_target(request)}", "responseSize": str(request["bytes"] or 0), "serverIp": "10.0.0.2",
        "status": request["status"], "userAgent": request["agent"] or "",
    }  # fmt: skip
    time = f"{request['timestamp']:%Y-%m-%dT%H:%M:%S.%fZ}"
    return {
        "httpRequest": inner | ({"referer": request["referer"]} if request["referer"] else {}), "insertId": f"{rng.getrandbits(64):x}",
        "jsonPayload": {"@type": "type.googleapis.com/google.cloud.loadbalancing.type.LoadBalancerLogEntry", "statusDetails": "response_sent_by_backend"},
        "logName": "projects/p/logs/requests", "receiveTimestamp": time, "severity": "INFO", "spanId": f"{rng.getrandbits(64):x}",
        "resource": {"labels": {"backend_service_name": "b", "project_id": "p", "zone": "global"}, "type": "http_load_balancer"}, "timestamp": time,
    }  # fmt: skip


KINDS: dict[str, Callable[[Request, random.Random], dict[str, Any]]] = {
    "nginx": nginx, "traefik": traefik, "caddy": caddy, "same-caddy": same_caddy, "google": google,
}  # fmt: skip


def main(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}.")],
    rows: Annotated[int, typer.Argument(min=1)],
    file: Annotated[Path, typer.Argument(dir_okay=False)],
) -> None:
    """Write a log. Equal arguments write equal logs."""
    if kind not in KINDS:
        raise typer.BadParameter(f"no such kind: {kind}; there are: {', '.join(KINDS)}")
    rng = random.Random(1)
    with file.open("w", encoding="utf-8") as log:
        for block in requests(rows):
            for request in block.iter_rows(named=True):
                print(json.dumps(KINDS[kind](request, rng), ensure_ascii=False, separators=(",", ":")), file=log)


def _target(request: Request) -> str:
    return f"{request['path']}?{request['query']}" if request["query"] else str(request["path"])


def _second(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}+00:00"


if __name__ == "__main__":
    typer.run(main)
