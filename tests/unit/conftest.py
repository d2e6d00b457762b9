"""What the tests of the follower share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.followed_logs import Logs


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    with ThreadPoolExecutor(2) as pool:
        made = Logs(tmp_path, pool)
        yield made
        if hasattr(made, "follower"):
            made.stop()
