"""``python -m fake_stages RECIPE [overrides]``: the fake pipeline as a job."""

import sys
from contextlib import nullcontext
from pathlib import Path

from fake_stages import STAGES
from gdrl import settings
from gdrl.artifacts import Storage, open_store
from gdrl.cli import exit_after
from gdrl.execution import execute

config = settings.load(Path(sys.argv[1]), sys.argv[2:])
store = open_store(Storage(config.storage))
exit_after(lambda: execute(config, store, stages=STAGES, session=lambda _: nullcontext()))
