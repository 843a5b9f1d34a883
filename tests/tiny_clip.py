"""A CLIP of a few thousand random weights, as the folder that save_pretrained writes."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 50,
}
SIDES = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
FEATURE_DIM = 6


def save_clip(folder: Path) -> Path:
    torch.manual_seed(0)
    config = CLIPConfig(vision_config=TOWER, text_config=TEXT, projection_dim=FEATURE_DIM)
    return save(CLIPModel(config), folder)


def save(model: torch.nn.Module, folder: Path) -> Path:
    model.save_pretrained(folder)
    CLIPImageProcessorPil(**SIDES).save_pretrained(folder)
    return folder
