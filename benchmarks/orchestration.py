"""What of a run's time is orchestration, and not work?

    python benchmarks/orchestration.py [--run demo --storage runs] [RECIPE [section.key=value ...]]

Runs ``jobs/pipeline.py`` (by default the demo, about ten minutes on two cores) with a private
cluster and a storage of its own, or with ``--run`` reads one that is finished and was made at one
go. Along the critical path

    prepare_data, the longer of train_vae and score_images, match_latents, train_graph, evaluate,
    report

a training stage's work is its loop (``seconds`` of its last logged step): the start of Ray Train's
workers, reading, checkpoints in between and publishing are not. The other stages are work whole,
but for what the MLLM's deployment takes to start in ``match_latents``, which is counted as work:
it stands in no log. What is left of the wall time, the job's own start and end included, is
``overhead``. Where score_images is the longer of the two it hides what starting costs, and nothing
is said.

Prints a table; the last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "jobs/recipes/demo.toml"
PATH = {
    "prepare_data": "dataset",
    "train_vae": "vae",
    "match_latents": "names",
    "train_graph": "disgraph",
    "evaluate": "evaluation",
    "report": "report",
}


def run_pipeline(recipe: Path, settings: list[str], storage: str) -> float:
    """Run the job; its wall seconds."""
    command = [sys.executable, str(ROOT / "jobs/pipeline.py"), str(recipe), *settings]
    began = time.perf_counter()
    subprocess.run(
        [*command, f"storage={storage}", "name=measured"], check=True, stdout=sys.stderr, cwd=ROOT
    )
    return time.perf_counter() - began


def wall_of(folder: Path) -> float:
    """Seconds from the first line of a run's only log to its last."""
    logs = sorted(folder.glob("attempts/*/log.txt"))
    if len(logs) != 1:
        raise SystemExit(f"{folder} was made in {len(logs)} attempts: its wall time means nothing")
    lines = logs[0].read_text().splitlines()
    first, last = (datetime.fromisoformat(line.split()[0]) for line in (lines[0], lines[-1]))
    return (last - first).total_seconds()


def work_of(folder: Path, artifact: str, manifest: dict[str, Any]) -> float:
    """Seconds of a stage that are not orchestration."""
    log = folder / artifact / "metrics.jsonl"
    if artifact not in ("vae", "disgraph"):
        return float(manifest["seconds"])
    return float(json.loads(log.read_text().splitlines()[-1])["seconds"])


def measure(folder: Path, wall: float) -> dict[str, float]:
    """Print the critical path; wall, work and what is left."""
    manifests = {
        artifact: json.loads((folder / artifact / "manifest.json").read_text())
        for artifact in (*PATH.values(), "scores")
    }
    if manifests["scores"]["seconds"] > manifests["vae"]["seconds"]:
        raise SystemExit(
            "score_images took longer than train_vae; raise recipe.vae.steps, or lower "
            "recipe.scores.num_images"
        )
    total = 0.0
    for stage, artifact in PATH.items():
        seconds, work = (
            manifests[artifact]["seconds"],
            work_of(folder, artifact, manifests[artifact]),
        )
        total += work
        print(f"{stage:<14} {seconds:8.1f} s, of these work {work:8.1f} s")
    print(f"{'all':<14} {wall:8.1f} s, of these work {total:8.1f} s")
    return {"wall_seconds": wall, "work_seconds": total, "overhead": 1 - total / wall}


def main() -> None:
    """Run or read, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", nargs="?", type=Path, default=DEMO)
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--run", default="", help="a finished run instead")
    parser.add_argument("--storage", type=Path, default=Path("runs"), help="where it lies")
    options = parser.parse_intermixed_args()
    if options.run:
        folder = options.storage / options.run
        result = measure(folder, wall_of(folder))
    else:
        with tempfile.TemporaryDirectory() as storage:
            wall = run_pipeline(options.recipe, options.settings, storage)
            result = measure(Path(storage) / "measured", wall)
    rounded = {name: round(value, 4) for name, value in result.items()}
    print(json.dumps({"benchmark": "orchestration", **rounded}))


if __name__ == "__main__":
    main()
