"""Serves the page until SIGTERM or Ctrl-C. I/O."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from consumer.page.app import application
from consumer.page.guard import require_token
from consumer.page.question import MAX_ADDRESS
from lakehouse.cli import stop_on_signals
from lakehouse.errors import PipelineError
from lakehouse.settings import Settings

STOP_SECONDS = 5  # what answers that are under way may take yet

log = logging.getLogger("consumer.page")


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to the program: SIGTERM is how one stops it, and no failure."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        stop = stop_on_signals()
        self.stop = stop
        yield

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second."""
        self.should_exit = self.should_exit or self.stop.is_set()
        return await super().on_tick(counter)


def serve(settings: Settings) -> None:
    """Serve the page.

    :raises SettingsError: it would be open to other machines without a token.
    :raises PipelineError: the address cannot be listened at.
    """
    page = settings.page
    require_token(page)
    with _listening(page.host, page.port) as listener:
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        token = "" if page.token is None else "?token=..."
        published = (
            "" if page.published_host is None else f" (within the container; published at {page.published_host})"
        )
        log.info("the page is at http://%s:%d/%s%s", name, port, token, published)
        config = uvicorn.Config(
            application(settings), log_config=None, access_log=False, server_header=False, date_header=False,
            timeout_graceful_shutdown=STOP_SECONDS, proxy_headers=False, limit_concurrency=200,
            h11_max_incomplete_event_size=2 * MAX_ADDRESS,
        )  # fmt: skip
        _Server(config).run(sockets=[listener])
    log.info("stopped")


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.create_server(found[0][4][:2], family=found[0][0])
    except OSError as error:
        reason = error.strerror or error
        raise PipelineError(
            f"the page cannot listen at {host}:{port}: {reason}; name others with --host and --port"
        ) from None
    with listener:
        yield listener
