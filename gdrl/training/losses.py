"""The terms that objectives add up: scalars, summed within an image, averaged over images."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional


def squared_error(
    logits: Float[Tensor, "batch 3 height width"], images: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, ""]:
    """Summed squared error of the decoded image: a Gaussian likelihood of fixed width."""
    return functional.mse_loss(logits.sigmoid(), images, reduction="sum") / len(images)


def bernoulli_error(
    logits: Float[Tensor, "batch 3 height width"], images: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, ""]:
    """Summed cross-entropy of pixels read as probabilities, in nats."""
    total = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return total / len(images)


def kl_by_latent(
    mean: Float[Tensor, "batch latent"], logvar: Float[Tensor, "batch latent"]
) -> Float[Tensor, " latent"]:
    """KL(N(mean, exp(logvar)) || N(0, 1)) of each latent in nats, averaged over the batch."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(dim=0)


def total_correlation(
    codes: Float[Tensor, "batch latent"],
    mean: Float[Tensor, "batch latent"],
    logvar: Float[Tensor, "batch latent"],
) -> Float[Tensor, ""]:
    """``KL(q(z) || prod_j q(z_j))`` in nats, by minibatch-weighted sampling (Chen et al. 2018).

    ``codes[i]`` is drawn from N(mean[i], exp(logvar[i])), and the mixture of the batch's M
    posteriors stands in for q(z): ``1/M sum_i [log 1/M sum_k q(z_i | x_k) - sum_j log 1/M sum_k
    q(z_ij | x_k)]``. The paper's weight 1/(NM), for N training images, adds (latents - 1) log N:
    a constant, without gradient. The appendix's stratified weights are not used.

    Pitfall: a code is part of its own mixture, so narrow posteriors of many latents read as
    (latents - 1) log M whether or not they are independent: at 64 images and 10 latents, 37 nats.
    Values compare at one batch size only, and large weights blur latents as well as separating
    them.
    """
    deviation = codes[:, None] - mean[None]
    log_density = -0.5 * (deviation.square() / logvar.exp() + logvar + math.log(2 * math.pi))
    joint = log_density.sum(dim=2).logsumexp(dim=1)
    marginals = log_density.logsumexp(dim=1).sum(dim=1)
    return (joint - marginals).mean() + (codes.shape[1] - 1) * math.log(len(codes))


def permuted(
    codes: Float[Tensor, "batch latent"], orders: Int64[Tensor, "batch latent"]
) -> Float[Tensor, "batch latent"]:
    """Each latent's values in an order of its own: draws from ``prod_j q(z_j)`` (Kim & Mnih 2018).

    Each column of ``orders`` is a permutation, so marginals stay exactly those of ``codes``.
    Pitfall: of the batch, not of q(z). Some rows keep most of their values when it is small.
    """
    return codes.gather(0, orders)


def alignment(
    logits: Float[Tensor, "scored attribute"],
    scores: Float[Tensor, "scored attribute"],
    answered: Bool[Tensor, "scored attribute"],
) -> Float[Tensor, ""]:
    """Cross-entropy between attribute logits and the MLLM's scores of what it answered.

    Summed over attributes. A score in the middle counts like any other: it says half present, or
    that nobody knows, and either way its logit is 0. Weighted by ``|2 score - 1|`` instead, only
    the ends of a graded attribute speak, where those that go along with it are at theirs: two of
    the six of ``shapes3d_like`` had no latent of their own (benchmarks/gem.py, gem_guided, seed 0).
    """
    errors = functional.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    return (answered * errors).sum() / len(scores)


def prior_pull(
    edges: Float[Tensor, "node node"],
    prior: Float[Tensor, "node node"],
    confidence: Float[Tensor, "node node"],
) -> Float[Tensor, ""]:
    """Squared distance of the learned edges from the measured ones, in proportion to confidence."""
    return (confidence * (edges - prior).square()).sum()


def nt_xent(
    first: Float[Tensor, "batch node embedding"],
    second: Float[Tensor, "batch node embedding"],
    temperature: float = 0.2,
) -> Float[Tensor, ""]:
    """Symmetric NT-Xent over nodes (Chen et al. 2020; SUBLIME): a node is its own positive.

    Computed in float32 whatever autocast is, for the temperature multiplies what is rounded off.
    """
    with torch.autocast(first.device.type, enabled=False):
        first = functional.normalize(first.float(), dim=2)
        second = functional.normalize(second.float(), dim=2)
        similarity = first @ second.mT / temperature
        target = torch.arange(first.shape[1], device=first.device).expand(len(first), -1)
        forwards = functional.cross_entropy(similarity.mT, target)
        return 0.5 * (forwards + functional.cross_entropy(similarity, target))


def discriminator_error(
    encoded: Float[Tensor, " batch"], decoded: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """``softplus(-D)`` on encoder, ``softplus(D)`` on decoder pairs: D learns log q / p.

    FactorVAE (Kim & Mnih 2018, algorithm 2) shows it codes and permuted codes, so that the mean of
    D over codes is their total correlation.
    """
    return functional.softplus(-encoded).mean() + functional.softplus(decoded).mean()


def generator_error(
    encoded: Float[Tensor, " batch"], decoded: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """What encoder and decoder minimise against D = log q / p (DEAR, Shen et al. 2022).

    Decoder pairs are weighted by the density ratio exp(D), clipped to [0.5, 2] and held constant.
    With the ratio as GEM prints it, both would step the wrong way.
    """
    ratio = decoded.detach().exp().clamp(0.5, 2.0)
    return encoded.mean() - (ratio * decoded).mean()
