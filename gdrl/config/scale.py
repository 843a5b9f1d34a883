"""Where and how wide: what may differ from machine to machine, and is never fingerprinted."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gdrl.config.section import NonNegativeFloat, PositiveFloat, PositiveInt, Section


class TrainScale(Section):
    """Ray Train workers of one training stage."""

    num_workers: PositiveInt = 1
    min_workers: Annotated[int, Field(ge=0)] = 0
    """How few may go on where nodes are lost, until ``num_workers`` fit again; 0 waits for all.
    Pin them by ``resources_per_worker``: Ray 2.60 counts other nodes' free CPUs for workers. Each
    change of the number begins at the last checkpoint. Where not even so few fit, they wait."""
    threads_per_worker: PositiveInt = 1
    """CPU threads of each worker; more threads than free cores cost a factor of ten."""
    use_gpu: bool = False
    zero_stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed shards over the workers: 1 optimiser states, 2 gradients too, 3 weights too.
    For models that fit, as these do, 2 costs 8 % of one worker's speed and buys nothing."""
    accumulation_steps: PositiveInt = 1
    """Parts of a worker's share of a batch that are in memory one after the other; the optimisation
    is the same."""
    checkpoint_every_steps: PositiveInt = 500
    """A kill costs the steps since the last checkpoint."""
    image_memory_gb: PositiveFloat = 8.0
    """Decoded images of each worker that fit are held in memory (of 64 pixels, 650,000). Of more, a
    scratch file in ``TMPDIR`` is mapped into it; the results are the same. ``encoders`` hold the
    scored images alone, always in memory."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    resources_per_worker: dict[str, float] = {}
    """Custom resources that pin workers to a pool, for example ``{trainer_slot = 1}``."""

    @model_validator(mode="after")
    def _fewest_of_all(self) -> "TrainScale":
        if self.min_workers > self.num_workers:
            raise ValueError(
                f"min_workers = {self.min_workers} is above num_workers = {self.num_workers}; "
                "lower it, or leave it out for a fixed number"
            )
        return self


class MLLMScale(Section):
    """Ray Serve replicas of the MLLM."""

    num_replicas: Annotated[int, Field(ge=0)] = 1
    """How many; with ``max_replicas``, at least how many."""
    max_replicas: Annotated[int, Field(ge=0)] = 0
    """Serve adds replicas up to this many while each has batches waiting, and
    takes them away again; 0 keeps ``num_replicas``. With ``num_replicas = 0`` the last one goes
    too, and the next question waits until one is up."""
    threads_per_replica: PositiveInt = 1
    gpus_per_replica: NonNegativeFloat = 0.0
    batch_size: PositiveInt = 16
    """Images per forward pass of a replica."""
    resources_per_replica: dict[str, float] = {}

    @model_validator(mode="after")
    def _some_replica(self) -> "MLLMScale":
        if self.max_replicas and self.max_replicas < self.num_replicas:
            raise ValueError(
                f"scale.mllm.max_replicas = {self.max_replicas} is below num_replicas = "
                f"{self.num_replicas}; raise it, or leave it out for a fixed number"
            )
        if not self.num_replicas and not self.max_replicas:
            raise ValueError(
                "scale.mllm.num_replicas = 0 answers nothing; set max_replicas too, to begin with "
                "none"
            )
        return self


class StreamScale(Section):
    """The client side of the question stream."""

    max_in_flight: PositiveInt = 32
    """Images being asked about at once."""
    attempts: PositiveInt = 4
    """Tries of one image while the service answers others. Waiting for a service that is down, or
    that asks for time, costs none."""
    timeout_seconds: PositiveFloat = 60.0
    outage_seconds: PositiveFloat = 300.0
    """How long to wait for a service that answered and is down: a new node boots in minutes."""
    images_per_part: PositiveInt = 256
    """Images whose answers are committed together: the most that a killed job asks again, beside
    those in flight. A million questions are 330 parts of 100 KB, listed and read in seconds."""


class ClusterScale(Section):
    """The Ray cluster itself."""

    address: str = ""
    """Empty: join the cluster of this job, or start a private one on this machine."""
    num_cpus: Annotated[int, Field(ge=0)] = 0
    """Logical CPUs of a private cluster; 0 counts the machine's, at least 4."""


class Scale(Section):
    """The settings that say where and how wide; never fingerprinted."""

    cluster: ClusterScale = ClusterScale()
    vae: TrainScale = TrainScale()
    disgraph: TrainScale = TrainScale()
    encoders: TrainScale = TrainScale()
    unmixing: TrainScale = TrainScale()
    contrastive: TrainScale = TrainScale()
    mllm: MLLMScale = MLLMScale()
    stream: StreamScale = StreamScale()
