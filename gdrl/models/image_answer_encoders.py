"""Two unshared encoders of one image: of its pixels, and of what an MLLM answered about it."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from gdrl.models.encoder import HIDDEN_DIM
from gdrl.models.nets import Net, build_pair


class ImageAnswerEncoders(nn.Module):
    """Features of equal width from both, to be compared by their cosine.

    ``image`` is a VAE's encoder, so that what it learns can go on as one; its ``mean`` makes the
    features, its ``logvar`` nothing. Raises ConfigError for a net that takes no images of
    ``image_size`` pixels.
    """

    kind = "image_answer_encoders"

    def __init__(self, num_attributes: int, feature_dim: int, net: Net, image_size: int) -> None:
        super().__init__()
        self.num_attributes = num_attributes
        self.feature_dim = feature_dim
        self.net: Net = net
        self.image_size = image_size
        self.image, _ = build_pair(net, feature_dim, image_size)
        nn.init.kaiming_normal_(self.image.mean.weight)  # a posterior's would start close to 0
        self.image.logvar.requires_grad_(False)
        self.answers = nn.Sequential(
            *(nn.Linear(num_attributes, HIDDEN_DIM), nn.ReLU()),
            *(nn.Linear(HIDDEN_DIM, HIDDEN_DIM), nn.ReLU()),
            nn.Linear(HIDDEN_DIM, feature_dim),
        )

    def forward(
        self,
        images: Float[Tensor, "batch 3 size size"],
        answers: Float[Tensor, "batch attribute"],
    ) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, "batch feature"]]:
        """Both sides' features, not normalised; answers run from -1 to 1, and 0 is none."""
        return self.features(images), self.answers(answers)

    def features(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> Float[Tensor, "batch feature"]:
        """Of the images."""
        features: Tensor = self.image.mean(self.image.embed(images))
        return features

    def description(self) -> dict[str, Any]:
        """What ``model.json`` holds: enough to rebuild the module."""
        return {
            "kind": self.kind,
            "net": self.net,
            "image_size": self.image_size,
            "num_attributes": self.num_attributes,
            "feature_dim": self.feature_dim,
        }
