"""Networks that someone mounts as a file: TorchScript modules, run on batches of images.

Such a file brings the network's own definition, so none is written here. That definition is code,
and loading the file runs it: mount only a file that you trust. Nothing is ever downloaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from gdrl.errors import GdrlError

_BATCH_SIZE = 32


@dataclass(frozen=True)
class Network:
    """What to mount for a metric, and how it is called."""

    metric: str
    file: str
    switches: tuple[tuple[str, bool], ...]
    width: int | None
    """Features per image; None where that depends on the picture's size."""
    instead: str


def load(network: Network, weights: str | Path | None) -> Any:
    """The mounted module, on the CPU, checked to take the switches it will be called with.

    Raises GdrlError when no file is named, it is not there, or it holds something else.
    """
    if weights is None:
        raise GdrlError(
            f"{network.metric} is defined by a network whose weights are not part of this package: "
            f"mount {network.file} (as StyleGAN2-ADA distributes it) and pass its path as weights; "
            f"{network.instead}"
        )
    if not Path(weights).is_file():
        raise GdrlError(f"{network.metric}: there is no file {weights}; mount {network.file} there")
    import torch

    try:
        module = torch.jit.load(weights, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise GdrlError(
            f"{network.metric}: {weights} is not a TorchScript module (weights alone will not do); "
            f"mount {network.file}"
        ) from error
    known = _arguments(module)
    for switch, _ in network.switches:
        if switch not in known:
            raise GdrlError(
                f"{network.metric}: the network in {weights} takes no argument {switch}; "
                f"mount {network.file}"
            )
    return module


def batches(num_images: int) -> list[slice]:
    """Of at most 32 images."""
    return [slice(start, start + _BATCH_SIZE) for start in range(0, num_images, _BATCH_SIZE)]


def features(
    network: Network, module: Any, pixels: Shaped[np.ndarray, "image row column 3"]
) -> Float[np.ndarray, "image feature"]:
    """What the module makes of one batch of pixels, 0 to 255.

    Raises GdrlError when that is not a row of features per image.
    """
    import torch

    with torch.inference_mode():
        batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        seen = module(batch, **dict(network.switches))
    shape = tuple(getattr(seen, "shape", ()))
    if len(shape) != 2 or shape[0] != len(pixels) or network.width not in (None, shape[1]):
        raise GdrlError(
            f"{network.metric}: the mounted network answers {len(pixels)} images with shape "
            f"{shape}, not ({len(pixels)}, {network.width or 'features'}); mount {network.file}"
        )
    array: Float[np.ndarray, "image feature"] = seen.float().numpy()
    return array


def _arguments(module: Any) -> set[str]:
    if not hasattr(module, "forward"):
        return set()
    return {argument.name for argument in module.forward.schema.arguments}
