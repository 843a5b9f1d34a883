"""Everything a run may be told: one frozen tree, its two halves ``recipe`` and ``scale``.

If two values may give different numbers *by intent*, the setting belongs to ``recipe`` and is
fingerprinted; where and how wide a stage runs belongs to ``scale`` and is not. Unknown keys are
errors.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

GRID_WORLDS = ("dsprites_like", "shapes3d_like")
WORLDS = ("faces", *GRID_WORLDS)
"""Sources that are drawn rather than read."""
CELEBA = "celeba:"
"""What a source that is a CelebA tree begins with."""
S3 = "s3://"
"""What a source that is a prefix of a bucket begins with."""


class Section(BaseModel):
    """A frozen section of settings that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


# --- recipe: what bears on results ---------------------------------------------------------------


class CorrelationRecipe(Section):
    """Correlation injected into a grid world (Träuble et al. 2021, Roth et al. 2023)."""

    pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of factor names; ``all`` as the second pairs with every other factor. None: the factors
    are independent, which is the literature's infinite sigma."""
    sigma: PositiveFloat = 0.1
    """Weight exp(-(a - b)^2 / 2 sigma^2) on factors scaled to [0, 1]; the literature takes
    0.04, 0.1, 0.2 and 0.4."""


class DatasetRecipe(Section):
    """Which images, how many, how large."""

    source: str = "faces"
    """``faces``, ``dsprites_like`` or ``shapes3d_like`` (synthetic worlds), ``celeba:PATH`` (the
    official files), a folder of images, a file or folder of parquet, or ``s3://bucket/prefix`` with
    images or parquet below."""
    style: str = "default"
    """Drawing style of the world ``faces``; ``default`` is the world's own."""
    correlation: CorrelationRecipe = CorrelationRecipe()
    """For ``dsprites_like`` and ``shapes3d_like``."""
    num_images: PositiveInt = 8_000
    """How many images the world draws, or at most how many a source gives."""
    image_size: Literal[64, 128, 256] = 64
    """Side of the square images, in pixels; above 64 takes ``recipe.vae.net = "residual"``."""
    min_side: PositiveInt = 32
    """Images with a shorter side are quarantined."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the images that no training stage sees; CelebA keeps its official split."""
    seed: int = 0

    @property
    def has_names(self) -> bool:
        """Whether the source brings attribute names of its own."""
        return self.source in WORLDS or self.source.startswith(CELEBA)

    @model_validator(mode="after")
    def _correlation_for_grids(self) -> "DatasetRecipe":
        if self.correlation.pairs and self.source not in GRID_WORLDS:
            raise ValueError(
                f"recipe.dataset.correlation.pairs: {self.source} is no grid of factors; "
                f"correlations can be injected into {' and '.join(GRID_WORLDS)}"
            )
        return self

    @model_validator(mode="after")
    def _grids_have_one_size(self) -> "DatasetRecipe":
        if self.image_size != 64 and self.source in GRID_WORLDS:
            raise ValueError(
                f"recipe.dataset.image_size = {self.image_size}: {self.source} is drawn at 64 "
                "pixels; set image_size = 64"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_empty_correlation(self, serialize: SerializerFunctionWrapHandler) -> Any:
        """Leave out what injects nothing: a recipe without it keeps its fingerprint."""
        fields = serialize(self)
        if not self.correlation.pairs:
            fields.pop("correlation", None)
        return fields


class VaeRecipe(Section):
    """The unsupervised beta-VAE (Higgins et al. 2017), or an objective to compare it with."""

    latent_dim: PositiveInt = 20
    objective: Literal["beta_vae", "vae", "beta_tcvae", "factor_vae"] = "beta_vae"
    """``vae`` sets beta to 1. ``beta_tcvae`` (Chen et al. 2018) and ``factor_vae`` (Kim & Mnih
    2018) press on the total correlation of the latents, and run on one worker."""
    beta: NonNegativeFloat = 4.0
    """Weight of the KL (``beta_vae``), of the total correlation within it (``beta_tcvae``), or of
    the total correlation on top of it (``factor_vae``, whose paper writes gamma: 10 to 100)."""
    reconstruction: Literal["gaussian", "bernoulli"] = "gaussian"
    reconstruction_weight: PositiveFloat = 10.0
    """Weight of the summed squared error (Gaussian: 1 / (2 sigma^2), so 10 is sigma = 0.22)."""
    capacity: NonNegativeFloat = 0.0
    """Target KL in nats, raised linearly over training (Burgess et al. 2018); 0 turns it off."""
    net: Literal["conv", "residual"] = "conv"
    """``conv``: four convolutions, 64 pixels (Locatello et al. 2019). ``residual``: 64, 128 or 256
    pixels, at 6.5 times the arithmetic for 64. The joint stage takes over the pair."""
    steps: PositiveInt = 2_000
    batch_size: PositiveInt = 32
    """Global batch: each worker takes its slice, so results do not depend on their number."""
    learning_rate: PositiveFloat = 2e-3
    gradient_clipping: PositiveFloat = 1_000.0
    """Largest 2-norm of a step's gradient. The default meets accidents only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` is for machines that compute in it, as GPUs do: a CPU core with AMX gained half
    (613 to 398 images/s), one without lost more than half (127 to 330)."""
    seed: int = 0

    @model_validator(mode="after")
    def _capacity_for_kl(self) -> "VaeRecipe":
        if self.capacity and self.objective in ("beta_tcvae", "factor_vae"):
            raise ValueError(
                f"recipe.vae.capacity: {self.objective} has no target KL; set capacity = 0, or "
                "objective = beta_vae"
            )
        return self


class MLLMRecipe(Section):
    """Who answers the questions."""

    model: str = "embedded"
    """``embedded`` (the tiny LLaVA in this package), a transformers directory, or the name that
    ``endpoint`` serves."""
    endpoint: str = ""
    """Base URL of an OpenAI-compatible server (``http://host:port/v1``); empty runs ``model`` on
    Ray Serve."""

    @model_validator(mode="after")
    def _no_secret(self) -> "MLLMRecipe":
        if "@" in self.endpoint:
            raise ValueError(
                "recipe.mllm.endpoint holds a name or password, and recipes are stored with "
                "results; give the key in the environment, as OPENAI_API_KEY"
            )
        return self


class ScoresRecipe(Section):
    """Which images are scored."""

    num_images: PositiveInt = 1_500
    """Images shown to the MLLM, drawn from the training split (GEM, section 4.1)."""
    seed: int = 0


class MatchingRecipe(Section):
    """How latents get their names."""

    threshold: Fraction = 0.6
    """Least ``|2 AUROC - 1|`` between a latent and an attribute for the latent to carry its
    name."""
    traversal_range: PositiveFloat = 2.5
    """Traversals run from minus to plus this many standard deviations of the aggregate
    posterior."""
    num_frames: Annotated[int, Field(ge=3, le=15)] = 5


class GraphRecipe(Section):
    """How scores become edges."""

    reading: Literal["expectation", "argmax"] = "expectation"
    """What a score is: the expected level, or the likeliest of the six (GEM, section 3.2, which
    has the MLLM write one digit)."""
    measure: Literal["conditional_difference", "somers_d", "spearman"] = "conditional_difference"
    """``somers_d`` is the paper's (section 3.2), as printed."""
    signed: bool = True
    """``false`` keeps the magnitude only, as the paper's adjacency in [0, 1] does."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Nominal coverage of the bootstrap intervals; an edge whose interval holds 0 is not drawn."""
    num_bootstrap: PositiveInt = 500
    interval_width: NonNegativeFloat = 0.0
    """Stop asking the MLLM once the interval of every edge is narrower than this; 0 asks about all
    of ``recipe.scores.num_images``."""
    seed: int = 0

    @property
    def measurement(self) -> dict[str, Any]:
        """What ``build_graph`` takes: all but how scores are read and when to stop asking."""
        return self.model_dump(exclude={"reading", "interval_width"})


class DisGraphRecipe(Section):
    """Joint training of encoder, graph and relation-aware decoder."""

    warm_start: bool = True
    """Go on from ``vae`` and its ``names``. ``false`` trains all from nothing in one stage, node i
    being the i-th attribute listed (GEM, section 3.3, figure 5); ``vae`` is the baseline then."""
    steps: PositiveInt = 2_500
    batch_size: PositiveInt = 32
    scored_per_batch: Annotated[int, Field(ge=0)] = 12
    """Share of the batch drawn from the scored images, for the alignment term."""
    learning_rate: PositiveFloat = 1.5e-3
    gradient_clipping: PositiveFloat = 1_000.0
    """Largest 2-norm of a step's gradient. The default meets accidents only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    num_layers: Annotated[int, Field(ge=0)] = 1
    """Directed GCN layers on top of the residual ``adjacency.T @ z`` (GEM, section 3.3); 0 leaves
    the residual alone."""
    learn_edges: bool = True
    """``false`` holds the measured graph."""
    reconstruction_weight: NonNegativeFloat = 10.0
    """Weight of the summed squared error; the paper's total loss (section 3.4) has no such term."""
    beta: NonNegativeFloat = 4.0
    """Weight of the KL: the paper's lambda_dis times beta (sections 3.1 and 3.4)."""
    alignment_weight: NonNegativeFloat = 100.0
    """Weight of the score-guided alignment; 0 is the purely unsupervised variant."""
    independence_weight: NonNegativeFloat = 20.0
    """Weight of the squared covariances between free latents and aligned attributes: what a free
    latent tells of an attribute, the decoder will read there."""
    intervention_weight: NonNegativeFloat = 100.0
    """Weight of the demand that an image drawn with an attribute set is read as having it. Without
    this and the one before, moving a latent showed its attribute for 6 of 12; with both, 12."""
    contrastive_weight: NonNegativeFloat = 0.1
    """Weight of the label-free graph refinement (two views, NT-Xent over nodes; SUBLIME)."""
    prior_weight: NonNegativeFloat = 100.0
    """Pull of each edge towards its measured weight, in proportion to the edge's confidence."""
    anchor_momentum: Fraction = 0.99
    """tau of the anchor's moving average: anchor = tau anchor + (1 - tau) learned."""
    adversarial_weight: NonNegativeFloat = 0.0
    """Weight of L_adv, from which the joint discriminator D(x, z) learns (GEM, section 3.4: 0.8).
    It scales D's gradient alone, and Adam divides most of that out."""
    joint_kl_weight: NonNegativeFloat = 0.0
    """Weight of L_gem, KL(q(x, z) || p(x, z)) as D tells it, from which encoder, graph and decoder
    learn (GEM, section 3.4: 0.6). Above 0 with ``adversarial_weight`` or not at all."""
    seed: int = 0

    @model_validator(mode="after")
    def _switches_agree(self) -> "DisGraphRecipe":
        if bool(self.adversarial_weight) != bool(self.joint_kl_weight):
            raise ValueError(
                "recipe.disgraph: adversarial_weight trains the discriminator that joint_kl_weight "
                "follows; set both above 0, or both to 0"
            )
        if not (self.reconstruction_weight or self.joint_kl_weight):
            raise ValueError(
                "recipe.disgraph: nothing trains the decoder; set reconstruction_weight, or "
                "joint_kl_weight and adversarial_weight, above 0"
            )
        if self.alignment_weight and not self.scored_per_batch:
            raise ValueError(
                "recipe.disgraph: scored_per_batch = 0 leaves alignment_weight nothing to align; "
                "set alignment_weight = 0, or scored_per_batch above 0"
            )
        if not self.learn_edges and (self.prior_weight or self.contrastive_weight):
            raise ValueError(
                "recipe.disgraph: learn_edges = false holds the edges that prior_weight and "
                "contrastive_weight would move; set both to 0"
            )
        return self


class PairedLatentsRecipe(Section):
    """Pairs of observations whose latents are known: the study of Liu et al. (2402.06223)."""

    space: Literal["sphere", "box", "unbounded"] = "sphere"
    """Where the shared latents live: unit sphere, [0, 1]^dim, or R^dim."""
    dim: PositiveInt = 5
    """Shared latents of a pair: coordinates, also on the sphere."""
    private_dim: Annotated[int, Field(ge=0)] = 5
    """Latents that one modality has for itself, N(0, I)."""
    marginal: Literal["uniform", "normal", "laplace", "generalised_normal"] = "uniform"
    """Of the first modality's latents: around 0, projected onto the sphere, or around the middle of
    the box and confined to it."""
    marginal_scale: PositiveFloat = 1.0
    conditional: Literal["vmf", "normal", "laplace", "generalised_normal"] = "vmf"
    """Of the second modality's latents around the first's, projected or confined likewise."""
    conditional_scale: PositiveFloat = 0.1
    """Standard deviation of ``normal``, lambda of ``laplace``, scale of ``generalised_normal``
    (density exp(-|x / scale|^3)), 1 / kappa of ``vmf``."""
    seed: int = 0

    @model_validator(mode="after")
    def _laws_of_the_space(self) -> "PairedLatentsRecipe":
        if self.conditional == "vmf" and self.space != "sphere":
            raise ValueError(
                f"conditional = vmf lives on the sphere, not in space = {self.space}; set space = "
                "sphere, or conditional = laplace"
            )
        if self.marginal == "uniform" and self.space == "unbounded":
            raise ValueError(
                "space = unbounded has no uniform distribution; set marginal = normal, or space = "
                "box"
            )
        if self.space == "sphere" and self.dim < 2:
            raise ValueError("space = sphere needs dim of at least 2")
        return self


class ContrastiveRecipe(Section):
    """Two encoders and symmetric InfoNCE on pairs with known latents."""

    latents: PairedLatentsRecipe = PairedLatentsRecipe()
    encoder_space: Literal["sphere", "box", "unbounded"] = "sphere"
    """Where codes live, and how they are compared: cosine on the sphere; L1 in a box (a sigmoid
    times a learned bound for each coordinate) and in R^dim."""
    temperature: PositiveFloat = 0.1
    """The conditional's own scale is the optimum, where the encoder's space is the latents'."""
    steps: PositiveInt = 10_000
    batch_size: Annotated[int, Field(ge=2)] = 1_024
    """Pairs of a global batch; each is told from all others of it, whichever worker has them."""
    learning_rate: PositiveFloat = 1e-3
    gradient_clipping: PositiveFloat = 1_000.0
    """Largest 2-norm of a step's gradient. The default meets accidents only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0


class StudyRow(Section):
    """One row of a study: what the latents are, and what the encoders take them for."""

    name: Name
    latents: PairedLatentsRecipe
    encoder_space: Literal["sphere", "box", "unbounded"]
    temperature: PositiveFloat
    score: Literal["r2", "mcc"]
    """What the row is judged by: linear or componentwise recovery."""
    paper: str = ""
    """What the paper reports for it, in percent, as printed."""


class StudyRecipe(Section):
    """Identifiability row by row, each from several seeds."""

    rows: tuple[StudyRow, ...] = ()
    num_seeds: PositiveInt = 5
    """A seed decides latents, mixing, weights and batches."""


class EvaluationRecipe(Section):
    """What is measured at the end."""

    edge_threshold: Fraction = 0.2
    """A true edge is a population weight of at least this magnitude."""
    asymmetry_threshold: Fraction = 0.1
    """Direction accuracy counts pairs whose true weights differ at least this much in magnitude."""
    auroc_threshold: Fraction = 0.9
    """Held-out AUROC from which an attribute counts as matched to a latent of its own."""
    seed: int = 0


class Recipe(Section):
    """The settings that bear on results."""

    dataset: DatasetRecipe = DatasetRecipe()
    attributes: tuple[str, ...] | Literal["discover"] = ()
    """Names to ask the MLLM about; empty takes the world's own attributes. ``discover`` has the
    MLLM propose them and keeps the proposal in ``scores/attributes.json``."""
    vae: VaeRecipe = VaeRecipe()
    mllm: MLLMRecipe = MLLMRecipe()
    scores: ScoresRecipe = ScoresRecipe()
    matching: MatchingRecipe = MatchingRecipe()
    graph: GraphRecipe = GraphRecipe()
    disgraph: DisGraphRecipe = DisGraphRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    contrastive: ContrastiveRecipe = ContrastiveRecipe()
    study: StudyRecipe = StudyRecipe()

    @property
    def stopping(self) -> GraphRecipe | None:
        """What decides when enough has been asked; None where everything is asked."""
        return self.graph if self.graph.interval_width else None

    @model_validator(mode="after")
    def _attributes_for_folders(self) -> "Recipe":
        if not self.dataset.has_names and not self.attributes:
            raise ValueError(
                "recipe.attributes is empty: a folder of images has no attribute names of its own; "
                'list the ones to ask about, for example recipe.attributes=["smiling","hat"]'
            )
        return self

    @model_validator(mode="after")
    def _net_for_size(self) -> "Recipe":
        if self.vae.net == "conv" and self.dataset.image_size != 64:
            raise ValueError(
                f"recipe.vae.net = conv is built for 64 pixels, and recipe.dataset.image_size = "
                f"{self.dataset.image_size}; set recipe.vae.net = residual"
            )
        return self


# --- scale: where and how wide -------------------------------------------------------------------


class TrainScale(Section):
    """Ray Train workers of one training stage."""

    num_workers: PositiveInt = 1
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
    max_failures: Annotated[int, Field(ge=0)] = 2
    resources_per_worker: dict[str, float] = {}
    """Custom resources that pin workers to a pool, for example ``{trainer_slot = 1}``."""


class MLLMScale(Section):
    """Ray Serve replicas of the MLLM."""

    num_replicas: Annotated[int, Field(ge=0)] = 1
    """How many; with ``max_replicas``, at least how many."""
    max_replicas: Annotated[int, Field(ge=0)] = 0
    """Serve adds replicas up to this many while each has more than a batch of requests at hand, and
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
    contrastive: TrainScale = TrainScale()
    mllm: MLLMScale = MLLMScale()
    stream: StreamScale = StreamScale()


class Tracking(Section):
    """Where scalars go besides ``metrics.jsonl``, which is always written."""

    tensorboard: bool = False
    """Write TensorBoard event files beside the attempt's log."""
    mlflow: bool = False
    """Log training's scalars to MLflow while it runs: to the server or store that
    ``MLFLOW_TRACKING_URI`` names, else to MLflow's own default in the working directory."""


class S3Settings(Section):
    """How ``s3://`` is reached, by boto3, pyarrow and Ray Train alike.

    Credentials have no place here: each of them takes them from the ambient environment.
    """

    endpoint: str = ""
    """URL of an S3-compatible server; empty takes ``AWS_ENDPOINT_URL``, else AWS."""
    region: str = ""
    """Empty takes the ambient one, else us-east-1."""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """``path`` puts the bucket into the path, which most servers that are not AWS want."""
    checksums: Literal["when_supported", "when_required"] = "when_required"
    """``when_supported`` sends a trailer with every upload, which many servers refuse."""
    ca_file: str = ""
    """Certificates to trust besides the system's, for an endpoint of one's own."""
    cache: str = ""
    """Local folder for files that were read and verified; empty is ``~/.cache/gdrl``."""


class RunConfig(Section):
    """A whole run: what to compute, where, under which name."""

    name: Name = "demo"
    storage: str = "runs"
    """Folder, or ``s3://bucket/prefix``, that holds runs."""
    s3: S3Settings = S3Settings()
    inputs: dict[str, str] = {}
    """Borrow finished artifacts from another run: ``{vae = "other-run"}``."""
    recipe: Recipe = Recipe()
    scale: Scale = Scale()
    tracking: Tracking = Tracking()
