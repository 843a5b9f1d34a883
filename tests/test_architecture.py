import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from gdrl.graph import association

LIGHT_ROOMS = (
    "gdrl",
    "gdrl.cli",
    "gdrl.pipeline",
    "gdrl.execution",
    "gdrl.artifacts",
    "gdrl.settings",
    "gdrl.config",
    "gdrl.tracking",
)


def test_every_import_keeps_to_the_room_table(repository: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(linter), "--no-cache"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rooms_that_decide_import_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"torch", "ray", "transformers", "deepspeed", "pyarrow", "numpy", "rich", "boto3"}
    code = f"import sys, {', '.join(LIGHT_ROOMS)}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_shapes_are_checked_while_tests_run() -> None:
    with pytest.raises(TypeCheckError, match="image attribute"):
        association(np.zeros(3), "spearman")
