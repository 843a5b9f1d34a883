"""How long a run takes on so many trainers and replicas, and what it costs: a simulation.

The MLLM answers while the β-VAE trains, and the joint stage waits for both. So more of one kind
pays only until the other is what is waited for; where that is follows from what one machine did.
"""

import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from gdrl.artifacts import Manifest, Run
from gdrl.config import Prices, RunConfig
from gdrl.errors import ArtifactMissing, ConfigError

REQUESTS_EACH = 200
"""The most that are simulated of each replica. More images make larger requests; a last one that
leaves other replicas idle is then half a percent of the time."""

BOOT_SECONDS = 720.0
"""Nodes boot and pull images: the 0.2 hours of docs/cluster.md."""

IDLE_SECONDS = 900.0
"""How long a node bills after its last work: ``idle_timeout_minutes`` of ray_cluster.yaml."""

SENDING_SECONDS = 0.003
"""Of the one actor that asks, for each image: sending it, and writing twelve rows (RESULTS §11)."""

SYNC_SECONDS = 0.005
"""Of a step on several workers, assumed: 2.5 MB of gradients in two rounds at 10 Gbit/s."""

MOST_TRAINERS = 64
MOST_REPLICAS = 256


@dataclass(frozen=True)
class Work:
    """What a recipe asks for."""

    images: int
    """To be asked about."""
    vae_steps: int
    vae_batch: int
    joint_steps: int
    joint_batch: int
    request: int
    """Images of one request to a replica."""

    @classmethod
    def of(cls, config: RunConfig) -> "Work":
        """The work of a run that has finished nothing.

        Raises:
            ConfigError: its extractor waits for the answers, where the simulation trains meanwhile.
        """
        recipe = config.recipe
        if recipe.extractor != "beta_vae":
            raise ConfigError(
                f"recipe.extractor = {recipe.extractor} waits for the answers, and --budget knows "
                "training beside them alone; leave --budget out, or set recipe.extractor = beta_vae"
            )
        return cls(
            recipe.scores.num_images,
            recipe.vae.steps,
            recipe.vae.batch_size,
            recipe.disgraph.steps,
            recipe.disgraph.batch_size,
            config.scale.mllm.batch_size,
        )


@dataclass(frozen=True)
class Rates:
    """Images per second of one replica, and of one worker in each training stage."""

    replica: float
    vae: float
    joint: float


@dataclass(frozen=True)
class Estimate:
    """What so many machines take for the work."""

    trainers: int
    replicas: int
    seconds: float
    dollars: float
    waits_for: str
    """``MLLM`` or ``training``: which of the two that run at the same time ends last."""


def measured(run: Run) -> Rates:
    """What one worker and one replica did in a finished run.

    From the stages' whole seconds, their start included: a run of a minute makes machines look
    slow, so measure with one of several.

    Raises:
        ArtifactMissing: naming what the run has not finished.
        ConfigError: its number of replicas was not fixed.
    """
    scores, settings = _made(run, "scores")
    if settings.scale.mllm.max_replicas:
        raise ConfigError(
            f"the number of replicas of the run {run.name!r} was Serve's to change, so none has a "
            "rate; make one with scale.mllm.max_replicas=0, and name it with --measured"
        )
    asked = json.loads((run.open("scores", ["scores.json"]) / "scores.json").read_bytes())
    images = asked["num_images"] - asked["num_known"] / len(asked["attributes"])
    if not images:
        raise ArtifactMissing(
            f"the run {run.name!r} asked its MLLM nothing, all answers were known; name another "
            "with --measured"
        )
    replica = images / scores.seconds / settings.scale.mllm.num_replicas
    vae, settings = _made(run, "vae")
    drawn = settings.recipe.vae.steps * settings.recipe.vae.batch_size
    trainer = drawn / vae.seconds / settings.scale.vae.num_workers
    joint, settings = _made(run, "disgraph")
    drawn = settings.recipe.disgraph.steps * settings.recipe.disgraph.batch_size
    return Rates(replica, trainer, drawn / joint.seconds / settings.scale.disgraph.num_workers)


def _made(run: Run, artifact: str) -> tuple[Manifest, RunConfig]:
    """A manifest, and the settings of the attempt that made it."""
    manifest = run.manifest(artifact)
    if manifest is None:
        raise ArtifactMissing(
            f"the run {run.name!r} has no {artifact} to take rates from; finish a small one first "
            "(recipe.scores.num_images=1000, say), and name it with --measured"
        )
    return manifest, RunConfig.model_validate(run.settings(manifest.attempt))


@cache  # of the trainers' number it is independent
def scoring_seconds(images: int, request: int, rate: float, replicas: int) -> float:
    """Time from the first question to the last answer: one sender, and a queue at the replicas.

    A discrete-event simulation: each replica has one request in work and one at hand, and takes
    whole requests, so the last ones decide how evenly all end.

    Args:
        images: to be asked about.
        request: images in one request.
        rate: images per second of a replica.
        replicas: how many.
    """
    size = max(request, images // (REQUESTS_EACH * replicas))
    free = [0.0] * replicas  # when each replica has done what it has
    ends: list[float] = []  # of the requests that are on their way
    sender = 0.0
    for sent in range(0, images, size):
        number = min(size, images - sent)
        if len(ends) == 2 * replicas:
            sender = max(sender, heapq.heappop(ends))
        sender += number * SENDING_SECONDS
        end = max(sender, heapq.heappop(free)) + number / rate
        heapq.heappush(free, end)
        heapq.heappush(ends, end)
    return max(free)


def training_seconds(steps: int, batch: int, rate: float, trainers: int) -> float:
    """Time of so many steps; ``rate`` is of one worker, in images per second."""
    return steps * (batch / rate / trainers + (SYNC_SECONDS if trainers > 1 else 0.0))


def simulate(work: Work, rates: Rates, prices: Prices, trainers: int, replicas: int) -> Estimate:
    """A whole run on fresh nodes: both at once, then the joint stage."""
    scoring = BOOT_SECONDS + scoring_seconds(work.images, work.request, rates.replica, replicas)
    training = BOOT_SECONDS + training_seconds(work.vae_steps, work.vae_batch, rates.vae, trainers)
    joint = training_seconds(work.joint_steps, work.joint_batch, rates.joint, trainers)
    begin = max(scoring, training)
    gap = begin - training
    if gap > IDLE_SECONDS:  # the trainers have gone, and come again
        gap, joint = IDLE_SECONDS + BOOT_SECONDS, joint + BOOT_SECONDS
    end = begin + joint
    billed = {
        "head": end,
        "cpu": end,
        "mllm": replicas * (scoring + IDLE_SECONDS),
        "trainer": trainers * (training + gap + joint + IDLE_SECONDS),
    }
    dollars = sum(seconds / 3600 * getattr(prices, pool) for pool, seconds in billed.items())
    waits_for = "MLLM" if scoring > training else "training"
    return Estimate(trainers, replicas, end, dollars, waits_for)


def candidates(work: Work, rates: Rates, prices: Prices) -> list[Estimate]:
    """Every split in powers of two that shares both batches evenly."""
    trainers = [
        n for n in _powers(MOST_TRAINERS) if not (work.vae_batch % n or work.joint_batch % n)
    ]
    return [
        simulate(work, rates, prices, number, replicas)
        for number in trainers
        for replicas in _powers(MOST_REPLICAS)
    ]


def best(estimates: Iterable[Estimate], budget: float) -> Estimate:
    """The fastest that ``budget`` dollars pay for; of those within 1 % of it, the cheapest.

    Raises:
        ConfigError: none does; what the cheapest costs.
    """
    estimates = list(estimates)
    paid = [estimate for estimate in estimates if estimate.dollars <= budget]
    if not paid:
        least = min(estimate.dollars for estimate in estimates)
        raise ConfigError(
            f"--budget {budget:g} pays for no split of this run, the cheapest costs {least:.2f}; "
            "raise it, or lower recipe.scores.num_images"
        )
    fastest = min(estimate.seconds for estimate in paid)
    near = (estimate for estimate in paid if estimate.seconds <= 1.01 * fastest)
    return min(near, key=lambda estimate: (estimate.dollars, estimate.seconds))


def _powers(most: int) -> list[int]:
    return [1 << exponent for exponent in range(most.bit_length())]
