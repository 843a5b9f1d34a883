"""What of a finished run's time was orchestration, and not work?

    python benchmarks/orchestration.py [RUN] [--storage runs]

The run was made at one go, by ``make demo`` say (about ten minutes on two cores), where nothing
else ran. Along the critical path

    prepare_data, the longer of train_vae and score_images, match_latents, train_graph, evaluate,
    report

a training stage's work is its loop (``seconds`` of its last logged step): the start of Ray Train's
workers, reading, and publishing are not. The other stages are work whole; so is, in
``match_latents``, what the MLLM's deployment takes to start, which stands in no log. What is left
of the time from the log's first line to its last is ``overhead``. Where score_images is the longer
of the two it hides what starting costs, and nothing is said.

Prints a table; the last line is one JSON object.
"""

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

PATH = {
    "prepare_data": "dataset",
    "train_vae": "vae",
    "match_latents": "names",
    "train_graph": "disgraph",
    "evaluate": "evaluation",
    "report": "report",
}


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
    """Read and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="?", default="demo")
    parser.add_argument("--storage", type=Path, default=Path("runs"))
    options = parser.parse_args()
    folder = options.storage / options.run
    result = {name: round(value, 4) for name, value in measure(folder, wall_of(folder)).items()}
    print(json.dumps({"benchmark": "orchestration", **result}))


if __name__ == "__main__":
    main()
