"""How long the archive lets landed files wait for others: where little comes, fewer batches do the same. Pure."""

from collections import deque

# So far back the archive looks for how much comes.
WINDOW_SECONDS = 30.0
# From so many on nothing waits: a batch is worth its cost.
BUSY_ROWS_PER_SECOND = 400.0


class Pace:
    """A batch costs nearly the same whatever it holds. While few rows come, landed files wait for each other.

    :param gather_seconds: how long the first of them waits at most; 0 for not at all.
    """

    def __init__(self, gather_seconds: float) -> None:
        self.gather_seconds = gather_seconds
        self.taken: deque[tuple[float, int]] = deque()
        self.waiting_since: float | None = None

    def is_time(self, now: float) -> bool:
        """Whether to take what waits. Asked again and again, as long as something does.

        :param now: a monotonic clock in seconds.
        """
        if self.waiting_since is None:
            self.waiting_since = now
        while self.taken and self.taken[0][0] < now - WINDOW_SECONDS:
            self.taken.popleft()
        is_first = not self.taken  # nothing has come for long: whoever looks on need not wait
        is_busy = sum(rows for _, rows in self.taken) >= BUSY_ROWS_PER_SECOND * WINDOW_SECONDS
        return is_first or is_busy or now - self.waiting_since >= self.gather_seconds

    def took(self, rows: int, now: float) -> None:
        """So many rows were taken: all that waited, or as much as a batch holds."""
        self.taken.append((now, rows))
        self.waiting_since = None
