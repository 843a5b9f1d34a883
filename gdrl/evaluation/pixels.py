"""What the image metrics agree on: (image, row, column, channel), values in [0, 1]."""

import numpy as np
from jaxtyping import Float

Images = Float[np.ndarray, "image row column channel"]


def check_scale(images: Images) -> None:
    """Raise ValueError unless all values lie in [0, 1]."""
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("images must lie in [0, 1]: divide uint8 images by 255")


def check_rgb(images: Images) -> None:
    """Raise ValueError unless these are RGB images in [0, 1]."""
    if images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise ValueError(f"images must be (image, row, column, 3), not {images.shape}")
    check_scale(images)
