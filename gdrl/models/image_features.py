"""What a pre-trained image tower makes of a picture: any that transformers loads, by its path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from numpy import ndarray
from PIL import Image

from gdrl.errors import ConfigError


def check_pretrained(path: Path) -> None:
    """Raise ConfigError unless a transformers model and its image processor lie there."""
    for name in ("config.json", "preprocessor_config.json"):
        if not (path / name).is_file():
            raise ConfigError(
                f"recipe.encoders.model: {path} holds no {name}; name a directory with model and "
                "image processor, as save_pretrained writes them"
            )


class ImageFeatures:
    """The projected image features of a CLIP or SigLIP, the pooled ones of a DINO or ViT.

    Not L2-normalised: that would make independent components dependent, and the released scripts of
    arXiv 2402.06223 unmix them as they come.

    Args:
        path: what ``save_pretrained`` wrote: model and image processor. Nothing is downloaded.
        use_gpu: whether to compute on the GPU.
        num_threads: CPU threads.

    Raises:
        ConfigError: no such directory, or the model pools no image features.
    """

    def __init__(self, path: Path, use_gpu: bool = False, num_threads: int = 1) -> None:
        from transformers import AutoImageProcessor, AutoModel

        check_pretrained(path)
        torch.set_num_threads(num_threads)
        self._path = path
        self._device = "cuda" if use_gpu else "cpu"
        # PIL resizes alike on every machine, whether or not torchvision is there.
        self._processor: Any = AutoImageProcessor.from_pretrained(
            path, local_files_only=True, backend="pil"
        )
        model: Any = AutoModel.from_pretrained(path, local_files_only=True)
        self._model: Any = model.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, images: Sequence[Image.Image]) -> Float32[ndarray, "image feature"]:
        """Features of a batch of pictures."""
        pixels = self._processor(images=list(images), return_tensors="pt").to(self._device)
        tower = getattr(self._model, "get_image_features", self._model)
        pooled = getattr(tower(**pixels), "pooler_output", None)
        if pooled is None:
            raise ConfigError(f"{self._path}: a {type(self._model).__name__} pools no features")
        features: Float32[ndarray, "image feature"] = pooled.float().cpu().numpy()
        return features
