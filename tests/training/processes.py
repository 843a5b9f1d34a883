"""Python files run as the ranks of one gloo group, each of which prints what it found."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_ranks(worker: Path, number: int, folder: Path, *arguments: str) -> list[Any]:
    """The last line that each of ``number`` ranks prints, as JSON.

    They are started as ``worker rank number store *arguments``; the ranks meet at ``store``.
    """
    store = folder / f"store-{number}"
    started = [
        subprocess.Popen(
            [sys.executable, worker, str(rank), str(number), store, *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(number)
    ]
    told = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * number
    return [json.loads(lines.splitlines()[-1]) for lines in told]
