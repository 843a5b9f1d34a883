"""A whole run: recipe, scale, and where it all lies."""

from typing import Literal

from gdrl.config.recipe import Recipe
from gdrl.config.scale import Scale
from gdrl.config.section import Endpoint, Name, NonNegativeFloat, Section


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

    endpoint: Endpoint = ""
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


class Prices(Section):
    """Dollars an hour of a node of each pool, for ``gdrl plan --budget``: assumed, yours to set."""

    head: NonNegativeFloat = 0.40
    cpu: NonNegativeFloat = 0.20
    trainer: NonNegativeFloat = 0.98
    mllm: NonNegativeFloat = 0.40
    """A spot node."""


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
    prices: Prices = Prices()
