"""What README.md quotes exists."""

import ast
import re
from pathlib import Path

from gdrl.data import faces


def test_the_attribute_that_is_set_is_one_of_the_demos(repository: Path) -> None:
    page = (repository / "README.md").read_text(encoding="utf-8")
    quoted = re.findall(r"model\.intervene\(images, (\{.*?\})\)", page)
    assert quoted
    for levels in quoted:
        assert set(ast.literal_eval(levels)) <= set(faces.ATTRIBUTES)
