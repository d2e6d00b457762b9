"""What the page shows, as files. I/O."""

from pathlib import Path

from consumer.components.filters import Filters
from consumer.page.app import Site
from consumer.page.question import Question
from lakehouse.durable import write_durably
from lakehouse.errors import PipelineError
from lakehouse.settings import Settings


def write_html(settings: Settings, filters: Filters, path: Path) -> None:
    """Write the first page as one file that loads nothing, to be mailed or kept.

    :raises PipelineError: a table cannot be read, or the file cannot be written.
    """
    site = Site(settings)
    try:
        is_whole = not filters.has_range
        question = Question(filters, "all" if is_whole else "dates", settings.page.time_zone)
        html = site.views.overview(site.about(question), is_file=True)
    finally:
        site.answers.close()
    write_file(path, html)


def write_file(path: Path, text: str) -> None:
    """Replace a file that others may read meanwhile: they see the old one or the new one.

    :raises PipelineError: it cannot be written.
    """
    try:
        write_durably(path, text, has_rivals=True)
    except OSError as error:
        raise PipelineError(f"{path}: cannot be written: {error.strerror or error}") from None
