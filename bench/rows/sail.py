"""The same jobs on Sail, where it is installed."""

from importlib.util import find_spec

ON_SAIL: dict[str, object] = {"engine": "sail"}
ADVICE = "not installed; type: .venv/bin/pip install -c constraints.txt -e '.[bench]'"


def has_sail() -> bool:
    """Whether it can be measured."""
    return find_spec("pysail") is not None


def missing_sail() -> dict[str, str]:
    """Why it is not measured, as a row's ``skipped``; empty where it is."""
    return {} if has_sail() else {"pysail": ADVICE}
