import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleaner.__main__ import app as cleaner
from consumer.__main__ import app as consumer
from lakehouse.errors import LayoutError
from lakehouse.lake import Lake
from lakehouse.layout import LAYOUT, adopt, require_known
from producer.__main__ import app as producer


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_a_new_lake_is_one_of_this_release_once_it_is_written(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert require_known(lake) is None
    assert not lake.root.exists()
    adopt(lake)
    assert require_known(lake) == LAYOUT
    assert [path.name for path in lake.layout.parent.iterdir()] == ["lake.json"]
    assert caplog.messages == []


@pytest.mark.parametrize("folder", ["landing", "merged", "logs"])
def test_a_lake_of_the_first_release_is_recognised_and_adopted_with_one_line(
    lake: Lake, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    getattr(lake, folder).mkdir(parents=True)
    assert require_known(lake) == 1
    adopt(lake)
    adopt(lake)
    assert require_known(lake) == LAYOUT
    assert [message.split(":")[0] for message in caplog.messages] == [
        f"{lake.root} is from an older release (layout 1, now {LAYOUT})"
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"layout": "x"}', '{"layout": null}', "\xff"])
def test_a_number_that_is_none_is_an_error_that_names_its_file(lake: Lake, content: str) -> None:
    lake.layout.parent.mkdir(parents=True)
    lake.layout.write_text(content, encoding="latin-1")
    with pytest.raises(LayoutError, match=r"lake.json: says no layout; .* put this into it: {\"layout\": \d+}"):
        adopt(lake)


def test_a_number_that_cannot_be_read_is_an_error(lake: Lake) -> None:
    lake.layout.mkdir(parents=True)
    with pytest.raises(LayoutError, match=r"lake.json: cannot be read: Is a directory; see to its permissions"):
        adopt(lake)


def test_a_number_that_cannot_be_written_is_said_and_holds_nothing_up(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    lake.root.mkdir()
    lake.layout.parent.write_text("in the way")
    adopt(lake)
    assert caplog.messages == [
        f"{lake.layout}: cannot be written: File exists; free some space or see to its permissions"
    ]
    assert require_known(lake) is None


@pytest.mark.parametrize(
    "words",
    [
        (producer, "simulate", "--events", "1"), (producer, "ingest", "/dev/null"), (producer, "status"),
        (consumer, "batch"), (consumer, "stream", "--once"), (consumer, "report"), (consumer, "status"),
        (cleaner, "merge"), (cleaner, "maintain"), (cleaner, "rebuild"), (cleaner, "job", "merge"),
    ],
    ids=lambda words: " ".join(map(str, words[1:])),
)  # fmt: skip
def test_a_lake_of_a_newer_release_is_refused_by_every_program_before_anything_is_written(
    words: tuple[object, ...], lake: Lake, tmp_path: Path
) -> None:
    program, *arguments = words
    conf = tmp_path / "pipeline.yaml"
    conf.write_text(f"paths: {{data_lake: {lake.root}, log: {tmp_path / 'log'}}}\n", encoding="utf-8")
    lake.layout.parent.mkdir(parents=True)
    lake.layout.write_text(f'{{"layout": {LAYOUT + 1}}}', encoding="utf-8")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        result = CliRunner().invoke(program, [*arguments, "--conf", str(conf)])  # type: ignore[arg-type, list-item]
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers, root.level = handlers, level
    assert result.exit_code == 1
    assert f"{lake.root}: the lake is from a newer release (layout {LAYOUT + 1}, this one knows up to" in result.output
    assert [path.relative_to(lake.root) for path in lake.root.rglob("*") if path.is_file()] == [
        lake.layout.relative_to(lake.root)
    ]
