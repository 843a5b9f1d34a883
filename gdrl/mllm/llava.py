"""The two halves of a LLaVA, called apart: pictures to features once, packed prompts to logits.

The only place that knows how ``LlavaForConditionalGeneration`` is built inside. ``model`` is
``Any`` here, since transformers types its modules loosely.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gdrl.mllm.packing import PackedPrompts


def picture_features(
    model: Any, pixel_values: Float[Tensor, "pictures 3 height width"]
) -> Float[Tensor, "pictures tokens dim"]:
    """What the language model sees of each picture: tower, then projector."""
    features: list[Tensor] = model.get_image_features(pixel_values).pooler_output
    return torch.stack(list(features))


def logits_at(
    model: Any,
    layout: "Layout",
    features: Float[Tensor, "all_tokens dim"],
    read_at: Int64[Tensor, "batch reads"],
) -> Float[Tensor, "batch reads vocabulary"]:
    """Logits at ``read_at`` of each sequence; ``features`` fills the image tokens in order."""
    embeddings = model.get_input_embeddings()(layout.token_ids)
    is_picture = (layout.token_ids == model.config.image_token_index).unsqueeze(-1)
    embeddings = embeddings.masked_scatter(is_picture, features.to(embeddings.dtype))
    mask = torch.zeros(layout.visible.shape, dtype=embeddings.dtype, device=embeddings.device)
    mask.masked_fill_(~layout.visible, torch.finfo(embeddings.dtype).min)
    hidden = model.model.language_model(
        inputs_embeds=embeddings,
        attention_mask=mask.unsqueeze(1),
        position_ids=layout.positions,
        use_cache=False,
    ).last_hidden_state
    rows = torch.arange(len(read_at), device=hidden.device).unsqueeze(1)
    logits: Tensor = model.lm_head(hidden[rows, read_at])
    return logits


class Layout:
    """Packed sequences as one padded batch of tensors on ``device``."""

    token_ids: Int64[Tensor, "batch length"]
    positions: Int64[Tensor, "batch length"]
    visible: Bool[Tensor, "batch length length"]

    def __init__(self, packed: Sequence[PackedPrompts], device: str = "cpu") -> None:
        batch, length = len(packed), max(len(row.token_ids) for row in packed)
        self.token_ids = torch.zeros((batch, length), dtype=torch.int64)
        self.positions = torch.zeros((batch, length), dtype=torch.int64)
        # Padding sees itself, so that no softmax runs over nothing.
        self.visible = torch.eye(length, dtype=torch.bool).repeat(batch, 1, 1)
        for index, row in enumerate(packed):
            size = len(row.token_ids)
            self.token_ids[index, :size] = torch.from_numpy(row.token_ids)
            self.positions[index, :size] = torch.from_numpy(row.positions)
            self.visible[index, :size, :size] = torch.from_numpy(row.visible)
        self.token_ids = self.token_ids.to(device)
        self.positions = self.positions.to(device)
        self.visible = self.visible.to(device)
