"""A beta-VAE whose decoder sits behind DisGraph, and what setting one latent does to others."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gdrl.models.beta_vae import BetaVae
from gdrl.models.disgraph import DisGraph
from gdrl.models.encoder import IMAGE_SIZE
from gdrl.models.nets import Net


class GraphVae(BetaVae):
    """Encoder, DisGraph and relation-aware decoder: ``logits(z) = decoder(disgraph(z))``.

    ``gap[i]`` leads latent i from where its attribute is absent to where it is present, level 0 to
    level 1; it is 0 for a latent without an attribute. Edges are differences of probabilities and
    latents have no unit, so the gaps turn one into the other.
    """

    kind = "graph_vae"
    gap: Tensor

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
        self.register_buffer("gap", torch.ones(latent_dim))

    def logits(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 size size"]:
        """Image logits of the relation-aware codes."""
        return super().logits(self.disgraph(codes))

    def description(self) -> dict[str, Any]:
        """What ``model.json`` holds: enough to rebuild the module."""
        graph = {"num_layers": len(self.disgraph.layers), "signed": self.disgraph.signed}
        return {**super().description(), **graph}

    def set_latents(
        self,
        codes: Float[Tensor, "batch latent"],
        values: Mapping[int, float | Float[Tensor, " batch"]],
        propagate: bool = True,
    ) -> Float[Tensor, "batch latent"]:
        """Codes with some latents set; the graph moves the others unless told not to.

        A move of latent i by its gap (its attribute appears) moves latent j by ``W[i, j]`` of j's
        gap, the change of j's attribute in probability: ``z_j += W[i, j] (gap_j / gap_i) delta_i``,
        summed over the set latents, which themselves stay where they were set. A latent without an
        attribute moves nothing, and nothing moves it. Weights are associations, which hold what
        passes through third latents: one hop is all.
        """
        moved = codes.clone()
        if propagate:
            for i, value in values.items():
                if self.gap[i]:
                    response = self.disgraph.edges()[i] * self.gap / self.gap[i]
                    moved += (value - codes[:, i])[:, None] * response
        for i, value in values.items():
            moved[:, i] = value
        return moved
