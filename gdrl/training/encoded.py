"""What a trained or pre-trained encoder makes of the training images, and the map that unmixes it.

An affine map on top of an image encoder's last layer is another last layer: the unmixed encoder is
a VAE's, its first latents the components.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy import ndarray

from gdrl.config import UnmixingRecipe
from gdrl.data.features import FEATURES, read_features
from gdrl.data.table import ImageTable
from gdrl.errors import ConfigError, DataError, TrainingFailed
from gdrl.models.encoder import Encoder
from gdrl.models.image_answer_encoders import ImageAnswerEncoders
from gdrl.models.nets import Net
from gdrl.models.storage import DESCRIPTION, load_encoders
from gdrl.training.batches import to_images
from gdrl.unmixing import Unmixing, fit_unmixing, stability

CHUNK = 256
NUM_STABILITY_FITS = 3


@dataclass(frozen=True)
class Encoded:
    """What ``encoders`` holds of the training images."""

    features: Float32[ndarray, "images feature"]
    num_attributes: int
    net: Net
    """Of the image encoder that is to carry the components."""
    trained: Encoder | None
    """That one, where the features are its own; None where they are a pre-trained model's."""


@dataclass(frozen=True)
class Unmixed:
    """What ``unmixing.json`` says of the fit."""

    method: str
    num_components: int
    explained: float
    """Share of the features' variance that the components hold."""
    iterations: int
    stability: list[float]
    """How surely each component is found again from other seeds, in [0, 1]; 1 where no seed
    decides."""

    def metrics(self) -> dict[str, float]:
        """In three numbers."""
        lowest = min(self.stability)
        return {
            "num_components": self.num_components,
            "lowest_stability": lowest,
            "explained": self.explained,
        }


def read_encoded(folder: Path, table: ImageTable, *, use_gpu: bool = False) -> Encoded:
    """Features of the training images: stored ones, or by our own encoder.

    Raises:
        DataError: stored features are of other images.
        ArtifactMissing, ArtifactCorrupt: no usable encoder.
    """
    if not (folder / FEATURES).is_file():
        encoders = load_encoders(folder)
        features = features_of(encoders.to("cuda" if use_gpu else "cpu"), table.pixels)
        return Encoded(features, encoders.num_attributes, encoders.net, encoders.cpu().image)
    ids, features = read_features(folder)
    if not np.array_equal(ids, table.ids):
        raise DataError(
            f"{folder} holds features of other images: take encoders and dataset from one run"
        )
    description = json.loads((folder / DESCRIPTION).read_text())
    return Encoded(features, description["num_attributes"], description["net"], None)


@torch.no_grad()
def features_of(
    encoders: ImageAnswerEncoders, pixels: UInt8[ndarray, "images size size 3"]
) -> Float32[ndarray, "images feature"]:
    """Features of many images, as they come: normalised, independent ones would depend."""
    device = encoders.image.mean.weight.device
    parts = torch.from_numpy(pixels).split(CHUNK)
    return torch.cat([encoders.features(to_images(p.to(device))).cpu() for p in parts]).numpy()


def unmix(encoded: Encoded, recipe: UnmixingRecipe) -> tuple[Unmixing, Unmixed]:
    """The map from features to components, and what is to be said of it.

    Raises:
        ConfigError: more components were asked for than there are features.
        DataError: the features vary in fewer directions than components were asked for, or none.
        TrainingFailed: FastICA or varimax did not converge for the number asked for, from one of
            three seeds.
    """
    width = encoded.features.shape[1]
    if recipe.num_components > width:
        raise ConfigError(
            f"recipe.unmixing.num_components = {recipe.num_components} is more than the {width} "
            "features; lower it (0 takes as many as can be found)"
        )
    number = recipe.num_components or min(encoded.num_attributes, recipe.latent_dim, width)
    while True:
        try:
            return _unmixed(encoded.features, number, recipe)
        except (DataError, TrainingFailed) as error:
            if recipe.num_components:
                setting = "the setting is recipe.unmixing.num_components; 0 takes what can be found"
                raise type(error)(f"{error}: {setting}") from error
            if number == 1:
                raise
        number -= 1


def _unmixed(
    features: Float32[ndarray, "images feature"], number: int, recipe: UnmixingRecipe
) -> tuple[Unmixing, Unmixed]:
    method, num_fits = recipe.method, NUM_STABILITY_FITS if recipe.method == "ica" else 1
    seeds = range(recipe.seed, recipe.seed + num_fits)
    fits = [fit_unmixing(features, number, method, seed=seed) for seed in seeds]
    fit = fits[0]
    again = stability(fits) if num_fits > 1 else np.ones(number)
    explained, found = fit.whitening.explained, again.round(4).tolist()
    return fit, Unmixed(method, number, explained, fit.iterations, found)


@torch.no_grad()
def take_components(encoder: Encoder, image: Encoder, unmixing: Unmixing) -> None:
    """Make the first latents of ``encoder`` the components of ``image``'s features, in place.

    What makes features of images is held from here on.
    """
    encoder.features.load_state_dict(image.features.state_dict())
    encoder.hidden.load_state_dict(image.hidden.state_dict())
    for layers in (encoder.features, encoder.hidden):
        layers.requires_grad_(False)
    matrix = torch.from_numpy(unmixing.whitening.matrix @ unmixing.rotation)
    mean = torch.from_numpy(unmixing.whitening.mean)
    rows = slice(matrix.shape[1])
    encoder.mean.weight[rows] = (matrix.T @ image.mean.weight.double()).float()
    encoder.mean.bias[rows] = ((image.mean.bias.double() - mean) @ matrix).float()
