"""Which images: the sections of ``recipe.dataset``."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from gdrl.config.section import (
    PositiveFloat,
    PositiveInt,
    Section,
)

GRID_WORLDS = ("dsprites_like", "shapes3d_like")
WORLDS = ("faces", *GRID_WORLDS)
"""Sources that are drawn rather than read."""
CELEBA = "celeba:"
"""What a source that is a CelebA tree begins with."""
S3 = "s3://"
"""What a source that is a prefix of a bucket begins with."""


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
