"""A beta-VAE whose decoder sits behind DisGraph."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from gdrl.models.beta_vae import BetaVae
from gdrl.models.disgraph import DisGraph
from gdrl.models.encoder import IMAGE_SIZE
from gdrl.models.nets import Net


class GraphVae(BetaVae):
    """Encoder, DisGraph and relation-aware decoder: ``logits(z) = decoder(disgraph(z))``."""

    kind = "graph_vae"

    def __init__(
        self,
        latent_dim: int,
        num_layers: int,
        net: Net = "conv",
        image_size: int = IMAGE_SIZE,
        *,
        signed: bool = True,
    ) -> None:
        super().__init__(latent_dim, net, image_size)
        self.disgraph = DisGraph(latent_dim, num_layers, signed=signed)

    def logits(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 size size"]:
        """Image logits of the relation-aware codes."""
        return super().logits(self.disgraph(codes))

    def description(self) -> dict[str, Any]:
        """What ``model.json`` holds: enough to rebuild the module."""
        graph = {"num_layers": len(self.disgraph.layers), "signed": self.disgraph.signed}
        return {**super().description(), **graph}
