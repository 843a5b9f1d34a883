"""Does the model behind ``gdrl plan --budget`` tell how long a stream takes?

    python benchmarks/scale_model.py [--images 960] [--rounds 3]

- the check: streams to 1, 2, 4 and 8 replicas of an engine that takes 500 ms for each batch of 8,
  beside what the simulation says of them; ``model_error`` is the largest deviation of the medians.
- the map: for 10^6 to 10^8 images, what 1 to 64 trainers and 1 to 256 replicas take, where the wait
  moves from the MLLM to training, and the best split for budgets. Its rates are assumptions: the
  0.25 s an image of docs/cluster.md, 2,000 images/s of a trainer and 1,000 in the joint stage.

Prints tables; the last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from streaming import (  # type: ignore[import-not-found]  # beside this script
    FIXED_BATCH,
    FIXED_SECONDS,
    fixed_rate,
    write_noise,
)

from gdrl import capacity
from gdrl.capacity import Estimate, Rates, Work
from gdrl.config import ClusterScale, Prices
from gdrl.distributed.session import connect, disconnect

ASSUMED = Rates(replica=4.0, vae=2_000.0, joint=1_000.0)


def measure(options: argparse.Namespace) -> dict[int, float]:
    """Median images/s of the stream, by replicas."""
    found: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        dataset = write_noise(Path(name), 2 * options.images)
        for replicas in (1, 2, 4, 8) * options.rounds:
            rate = fixed_rate(dataset, options.images // 4 * replicas, replicas)
            found.setdefault(replicas, []).append(rate)
    return {replicas: statistics.median(rates) for replicas, rates in found.items()}


def simulated(options: argparse.Namespace, replicas: int) -> float:
    """Images/s that the model gives such a stream."""
    images = options.images // 4 * replicas
    rate = FIXED_BATCH / FIXED_SECONDS
    return float(images / capacity.scoring_seconds(images, FIXED_BATCH, rate, replicas))


def work_of(images: int) -> Work:
    """So many images, and a training that does not grow with them: 100,000 and 10,000 steps."""
    return Work(images, 100_000, 128, 10_000, 128, request=16)


def cheapest(estimates: list[Estimate], trainers: int) -> tuple[Estimate, int]:
    """Of so many trainers: the cheapest split, and how many replicas end the wait for the MLLM."""
    these = [each for each in estimates if each.trainers == trainers]
    turns = [each.replicas for each in these if each.waits_for == "training"]
    return min(these, key=lambda each: each.dollars), min(turns, default=0)


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=960, help="of a stream to four replicas")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))  # replicas import the engine by its name
    connect(ClusterScale(num_cpus=16))
    rates = measure(options)
    disconnect()
    errors = {}
    for replicas, rate in rates.items():
        told = simulated(options, replicas)
        errors[replicas] = told / rate - 1
        print(
            f"{replicas} replicas {rate:8.1f} images/s, model {told:8.1f}, {errors[replicas]:+.1%}"
        )

    for exponent in (6, 7, 8):
        work, prices = work_of(10**exponent), Prices()
        estimates = capacity.candidates(work, ASSUMED, prices)
        print(f"\n10^{exponent} images  trainers  replicas until training is waited for  cheapest")
        for trainers in sorted({each.trainers for each in estimates}):
            least, turn = cheapest(estimates, trainers)
            print(
                f"{'':12} {trainers:8}  {turn or 'more than 256':>36}  {least.replicas} replicas, "
                f"{least.seconds / 3600:.1f} h, ${least.dollars:.0f}"
            )
        least_dollars = min(each.dollars for each in estimates)
        for factor in (1.1, 1.5, 3.0):
            chosen = capacity.best(estimates, factor * least_dollars)
            print(
                f"  ${factor * least_dollars:8.0f}: {chosen.trainers} trainers, {chosen.replicas} "
                f"replicas, {chosen.seconds / 3600:.1f} h, ${chosen.dollars:.0f}"
            )
    error = max(abs(error) for error in errors.values())
    result = {"benchmark": "scale_model", "model_error": round(error, 4)}
    print(json.dumps(result | {f"error_{n}": round(error, 4) for n, error in errors.items()}))


if __name__ == "__main__":
    main()
