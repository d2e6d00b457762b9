"""Who may look, and what a browser may do with it: host, token, and the headers of every answer."""

import hmac
import ipaddress
from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lakehouse.errors import SettingsError
from lakehouse.settings import Page

COOKIE = "page_token"
COOKIE_SECONDS = 30 * 86_400
OPEN_PATHS = ("/healthz",)  # it says nothing of the lake
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def require_token(page: Page) -> None:
    """Refuse to be seen beyond this machine by everybody.

    :raises SettingsError: the page would be, and there is no token.
    """
    host = page.published_host or page.host
    if page.token is None and not _is_loopback(host):
        raise SettingsError(
            f"page.host = {host!r} is not the loopback, and page.token is not set: anyone who reaches it could read the figures;"
            " set page.token (PIPELINE_PAGE__TOKEN) to 16 letters or more, or page.host to 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets in who knows the token, where there is one, and sets ``HEADERS``.

    Without a token it answers no names with a dot: a web site elsewhere could have its own name point here, and read the
    figures with the browser of somebody who may.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token
        self.cookie = None if token is None else sha256(token.encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self.app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self.token is None or self.cookie is None:
            known = _is_own_name(headers.get("host", ""))
            return None if known else PlainTextResponse("this name is not one of the page's\n", 403)
        if scope["path"] in OPEN_PATHS:
            return None
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if any(name == "token" and _is_same([value], self.token) for name, value in pairs):
            return _with_cookie(scope["path"], [pair for pair in pairs if pair[0] != "token"], self.cookie)
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        sent = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if _is_same([bearer], self.token) or _is_same([sent], self.cookie):
            return None
        ways = "open the link that has it (?token=...), or send the header Authorization: Bearer ..."
        return PlainTextResponse(f"a token is needed: {ways}\n", 401, {"www-authenticate": "Bearer"})


def _with_cookie(path: str, pairs: list[tuple[str, str]], cookie: str) -> Response:
    """The same address without the token, which would stand in the history and in links."""
    target = "/" + path.lstrip("/\\")
    response = RedirectResponse(f"{target}?{urlencode(pairs)}" if pairs else target, 303)
    response.set_cookie(COOKIE, cookie, max_age=COOKIE_SECONDS, httponly=True, samesite="lax")
    return response


def _is_same(given: Iterable[str], expected: str) -> bool:
    """Compared in constant time."""
    return any(hmac.compare_digest(one.encode("utf-8", "replace"), expected.encode()) for one in given)


def _is_own_name(host: str) -> bool:
    """Whether the host is an address or a name without a dot, such as localhost or a container's."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return "." not in name.rstrip(".") or name.rstrip(".").endswith(".localhost")
    return True
