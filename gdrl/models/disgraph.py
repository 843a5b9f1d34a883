"""DisGraph: a directed graph convolution over latents (GEM, arXiv 2407.18999, section 3.3).

Nodes are latents; ``adjacency[i, j]`` is the weight of i -> j, so ``z_rel = adjacency.T @ z``. The
node features of one image are ``T0 = diag(z)``: node i starts from its own latent alone.

The paper normalises symmetrically, ``D^-1/2 A D^-1/2``, which an asymmetric A does not survive;
here every node takes the mean of its in-neighbours instead. It also leaves open how ``z_rel = A.T
z`` and "the mean of the feature matrix" can both be the decoder's input. They are the same thing
up to a factor: with an identity layer weight and no non-linearity, one layer gives ``T1 = D^-1 A.T
diag(z)``, and the mean of node j's features is ``(A.T z)_j / (n d_j)``, where ``d_j = sum_i
|A_ij|`` and n is the number of nodes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def normalise_incoming(
    adjacency: Float[Tensor, "node node"],
) -> Float[Tensor, "node node"]:
    """``D^-1 A.T``: row j holds the weights of what flows into node j, scaled to absolute sum 1.

    The absolute sum, because signed weights may cancel. It is at least 1: A has a unit diagonal.
    """
    incoming = adjacency.T
    return incoming / incoming.abs().sum(dim=1, keepdim=True)


def propagate(
    incoming: Float[Tensor, "node node"],
    features: Float[Tensor, "batch node feature"],
    weight: Float[Tensor, "feature out"],
) -> Float[Tensor, "batch node out"]:
    """One linear graph convolution: every node mixes its in-neighbours' features."""
    return incoming @ features @ weight


class DisGraph(nn.Module):
    """``z_rel = A.T z`` plus the node means of an L-layer directed GCN; ``A = I + W``, W learnable.

    The layers' last weight starts at 0, so that an untrained DisGraph is exactly ``A.T z``, and
    with W = 0 the identity: a warm start from a beta-VAE loses nothing. Without layers it stays
    ``A.T z``. Unsigned, W lies in [0, 1] (section 3.3).
    """

    def __init__(self, latent_dim: int, num_layers: int, *, signed: bool = True) -> None:
        super().__init__()
        self.signed = signed
        self.weight = nn.Parameter(torch.zeros(latent_dim, latent_dim))
        layers = [torch.eye(latent_dim) for _ in range(num_layers)]
        if layers:
            layers[-1].zero_()
        self.layers = nn.ParameterList([nn.Parameter(layer) for layer in layers])

    def edges(self) -> Float[Tensor, "latent latent"]:
        """W: the adjacency without self-loops."""
        edges = self.weight - torch.diag_embed(self.weight.diagonal())
        if self.signed:
            return edges
        # The gradient passes the bounds, or an edge that reached 0 would never come back.
        return edges + (edges.clamp(0, 1) - edges).detach()

    def adjacency(self) -> Float[Tensor, "latent latent"]:
        """A = I + W."""
        return self.edges() + torch.eye(len(self.weight), device=self.weight.device)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """Codes to relation-aware codes z_rel."""
        adjacency = self.adjacency()
        related = codes @ adjacency
        if not len(self.layers):
            return related
        incoming = normalise_incoming(adjacency)
        features = torch.diag_embed(codes)
        for layer in self.layers:
            features = propagate(incoming, features, layer).tanh()
        return related + features.mean(dim=2)


class NodeEmbedding(nn.Module):
    """Node embeddings of one view: a 2-layer GCN and a 2-layer projection (SUBLIME, WWW 2022)."""

    def __init__(self, latent_dim: int, embedding_dim: int = 64) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(latent_dim, embedding_dim))
        self.second = nn.Parameter(torch.empty(embedding_dim, embedding_dim))
        nn.init.xavier_uniform_(self.first)
        nn.init.xavier_uniform_(self.second)
        self.projection = nn.Sequential(
            nn.Linear(embedding_dim, embedding_dim),
            nn.ReLU(),
            nn.Linear(embedding_dim, embedding_dim),
        )

    def forward(
        self,
        adjacency: Float[Tensor, "node node"],
        features: Float[Tensor, "batch node node"],
    ) -> Float[Tensor, "batch node embedding"]:
        """Embed every node of every image's graph."""
        incoming = normalise_incoming(adjacency)
        hidden = propagate(incoming, features, self.first).relu()
        embeddings: Tensor = self.projection(propagate(incoming, hidden, self.second))
        return embeddings
