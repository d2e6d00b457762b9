"""A site's name from its log's: ``SITE.access.log``, ``access_SITE.log``. Pure."""

import re
from collections.abc import Callable
from pathlib import PurePath

from lakehouse.errors import InputError

PLACE = "SITE"
# What rotation and compression put behind a log's name.
_ROTATED = r"(?:[.-][0-9]{1,14}(?:[-_T][0-9]{1,6})?)*(?:\.(?:gz|xz|lzma|bz2|zst))?"


def site_of(pattern: str) -> Callable[[str], str]:
    """What finds the site in a log's path.

    :param pattern: a log's name with ``SITE`` in the place of the site's; ``*`` stands for anything. A rotated or compressed log
        keeps the site of the one that it was.
    :return: the site, empty where the name is another.
    :raises InputError: the pattern does not have ``SITE`` once.
    """
    if pattern.count(PLACE) != 1 or "/" in pattern:
        raise InputError(
            f"--site-from-name {pattern}: must be a file's name with {PLACE} in it once, such as {PLACE}.access.log"
        )
    before, after = (re.escape(part).replace(r"\*", ".*") for part in pattern.split(PLACE))
    named = re.compile(rf"{before}(?P<site>.+?){after}{_ROTATED}")

    def site(path: str) -> str:
        match = named.fullmatch(PurePath(path).name)
        return match["site"] if match else ""

    return site
