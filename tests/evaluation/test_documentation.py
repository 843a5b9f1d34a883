"""docs/metrics.md and the docstrings keep up with what is exported."""

import inspect
import re
from pathlib import Path

import pytest

from gdrl import evaluation

FUNCTIONS = [name for name in evaluation.__all__ if inspect.isfunction(getattr(evaluation, name))]
METRICS = [name for name in FUNCTIONS if name not in ("evaluate", "efflite0_features")]


def test_the_page_has_a_row_for_every_function(repository: Path) -> None:
    page = (repository / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted([*rows, "evaluate"]) == sorted(FUNCTIONS)


def test_every_row_is_complete(repository: Path) -> None:
    page = (repository / "docs/metrics.md").read_text()
    for row in re.findall(r"^\| `.*$", page, re.MULTILINE):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) in (4, 5)
        assert all(cells), row


@pytest.mark.parametrize("name", METRICS)
def test_every_docstring_names_its_pitfall(name: str) -> None:
    documentation = inspect.getdoc(getattr(evaluation, name)) or ""
    assert "Pitfall" in documentation


@pytest.mark.parametrize("name", METRICS)
def test_a_fast_setting_states_its_error(name: str) -> None:
    function = getattr(evaluation, name)
    documentation = inspect.getdoc(function) or ""
    if "fast" in inspect.signature(function).parameters:
        assert re.search(r"``fast``: .*differed\s+by\s+at\s+most\s+0\.\d", documentation, re.DOTALL)
