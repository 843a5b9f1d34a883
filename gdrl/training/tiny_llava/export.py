"""From the trained modules to the directory that ships."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from PIL import Image
from safetensors.numpy import save
from safetensors.torch import save as save_tensors

from gdrl.mllm.embedded import mahalanobis
from gdrl.mllm.transformers_engine import TransformersEngine
from gdrl.training.tiny_llava.degrade import LinearAutoencoder, degrade, to_pixels, to_uint8
from gdrl.training.tiny_llava.scenes import Scenes

_LEGACY_NAMES = (
    ("model.vision_tower.", "vision_tower.vision_model."),
    ("model.language_model.", "language_model.model."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
)
"""The names of published LLaVA checkpoints: transformers loads them as well as its own, vLLM loads
nothing else."""

_QUANTILE = 0.995
_RIDGE = 1e-3
"""Added to the covariance, relative to its mean variance: some features hardly vary."""


def export(model: Any, processor: Any, out: Path) -> None:
    """Write model (bf16) and processor to ``out`` as ``save_pretrained`` does."""
    out.mkdir(parents=True, exist_ok=True)
    model.config.dtype = torch.bfloat16
    model.config.architectures = ["LlavaForConditionalGeneration"]
    model.config.save_pretrained(out)
    model.generation_config.save_pretrained(out)
    processor.save_pretrained(out)
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":  # tied to the embeddings
            tensors[_legacy(name)] = tensor.to(torch.bfloat16).contiguous()
    # Bytes first: save_file would leave the file unreadable for other users.
    (out / "model.safetensors").write_bytes(save_tensors(tensors, metadata={"format": "pt"}))


def export_domain(
    out: Path,
    training: Scenes,
    held_out: Scenes,
    autoencoder: LinearAutoencoder,
    seed: int,
) -> None:
    """Write ``domain.safetensors``: where in-domain pictures lie among the pooled vision features.

    Mean and whitening come from training pictures, the threshold from held-out ones; half of both
    are degraded.
    """
    engine = TransformersEngine(out)
    generator = np.random.default_rng((seed, 3))
    fitted = _features(engine, training, autoencoder, generator)
    mean = fitted.mean(axis=0)
    covariance = np.cov(fitted, rowvar=False)
    covariance += _RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(values)
    distances = mahalanobis(_features(engine, held_out, autoencoder, generator), mean, whitening)
    statistics = {
        "mean": mean,
        "whitening": whitening,
        "threshold": np.array([np.quantile(distances, _QUANTILE)]),
    }
    arrays = {name: np.ascontiguousarray(value, np.float32) for name, value in statistics.items()}
    (out / "domain.safetensors").write_bytes(save(arrays))


def _features(
    engine: TransformersEngine,
    scenes: Scenes,
    autoencoder: LinearAutoencoder,
    generator: np.random.Generator,
) -> Float[ndarray, "pictures width"]:
    clean = scenes.pictures[:, :2].reshape(-1, 64, 64, 3)
    degraded = degrade(to_pixels(clean[:, None]), autoencoder, generator, max_ghost=0.9)
    pictures = np.concatenate([clean, to_uint8(degraded[:, 0])])
    features = engine.features([Image.fromarray(picture) for picture in pictures])
    return np.asarray(features, dtype=np.float64)


def _legacy(name: str) -> str:
    for ours, theirs in _LEGACY_NAMES:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours).removeprefix("vision_model.")
    return name
