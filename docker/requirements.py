"""Print the requirements of the project with the named extras, one a line, for ``pip install -r``: without the project."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = [project["optional-dependencies"][extra] for extra in sys.argv[1:]]
print(*project["dependencies"], *(requirement for extra in extras for requirement in extra), sep="\n")
