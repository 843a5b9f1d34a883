"""A driver to be killed: the stages that run at the same time, on the cluster of ``RAY_ADDRESS``.

python -m tests.end_to_end.pools_driver RECIPE [section.key=value …]
"""

import sys
from pathlib import Path

from gdrl import settings
from gdrl.artifacts import Storage, open_store
from gdrl.execution import execute
from gdrl.pipeline import stages_of

config = settings.load(Path(sys.argv[1]), sys.argv[2:])
at_once = ("dataset", "vae", "scores")
stages = [stage for stage in stages_of("beta_vae") if stage.artifact in at_once]
execute(config, open_store(Storage.of(config)), stages=stages)
