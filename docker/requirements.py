"""Print the requirements of the project with the named extras, one a line, for ``pip install -r``: without the project."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

project = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]


def of_extra(extra: str) -> Iterator[str]:
    """The requirements of an extra, and of those that it names as the project's own."""
    for requirement in project["optional-dependencies"][extra]:
        if requirement.startswith(f"{project['name']}["):
            yield from of_extra(requirement.split("[")[1].rstrip("]"))
        else:
            yield requirement


print(*project["dependencies"], *(requirement for extra in sys.argv[1:] for requirement in of_extra(extra)), sep="\n")
