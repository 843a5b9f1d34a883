"""Untrained models of a few thousand weights, of the architectures that people mount.

Each is written as its checkpoints are: ``config.json``, weights, tokenizer, image processor and
chat template, so that a recipe names it by its path. The tokenizer knows bytes and special tokens.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

WIDTH = 32
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "initializer_range": 0.3,
}
QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
GEMMA_TOKENS = {
    "boi_token": "<start_of_image>",
    "image_token": "<image_soft_token>",
    "eoi_token": "<end_of_image>",
}
SMOLVLM_TOKENS = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}


def write_qwen3_vl(path: Path) -> None:
    vision = {
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    _write_qwen(path, Qwen3VLForConditionalGeneration, Qwen3VLConfig, vision)


def write_qwen2_5_vl(path: Path) -> None:
    vision = {"out_hidden_size": WIDTH, "window_size": 32, "fullatt_block_indexes": [1]}
    _write_qwen(path, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig, vision)


def _write_qwen(path: Path, architecture: Any, config: Any, vision: dict[str, Any]) -> None:
    tokenizer = _tokenizer(QWEN_TOKENS)
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
    depth = {"depth": 2, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_heads": 2}
    settings = config(
        text_config={**TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={**depth, "patch_size": 8, **vision},
        **{
            f"{name}_id": tokenizer.convert_tokens_to_ids(token)
            for name, token in QWEN_TOKENS.items()
        },
    )
    images = Qwen2VLImageProcessorPil(patch_size=8, size=_side(32, 64))
    _write(path, architecture, settings, tokenizer, images, _QWEN_TEMPLATE)


def write_gemma3(path: Path) -> None:
    tokenizer = _tokenizer(GEMMA_TOKENS)
    config = Gemma3Config(
        text_config={**TEXT, "vocab_size": len(tokenizer)},
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
        },
        mm_tokens_per_image=4,
        **{
            f"{name}_index": tokenizer.convert_tokens_to_ids(token)
            for name, token in GEMMA_TOKENS.items()
        },
    )
    images = Gemma3ImageProcessorPil(size={"height": 64, "width": 64}, image_seq_length=4)
    _write(path, Gemma3ForConditionalGeneration, config, tokenizer, images, _GEMMA_TEMPLATE)
    (path / "processor_config.json").write_text(
        '{"processor_class": "Gemma3Processor", "image_seq_length": 4}'
    )


def write_smolvlm(path: Path) -> None:
    tokenizer = _tokenizer(SMOLVLM_TOKENS)
    config = SmolVLMConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
        },
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    images = SmolVLMImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 64}, do_image_splitting=False
    )
    _write(path, SmolVLMForConditionalGeneration, config, tokenizer, images, _SMOLVLM_TEMPLATE)
    (path / "processor_config.json").write_text(
        '{"processor_class": "SmolVLMProcessor", "image_seq_len": 4}'
    )


def _write(
    path: Path,
    architecture: Any,
    config: Any,
    tokenizer: PreTrainedTokenizerFast,
    images: Any,
    template: str,
) -> None:
    torch.manual_seed(0)
    model = architecture(config)
    for name, weight in model.named_parameters():
        if "projection" in name:  # Gemma's begins at zero, and its pictures would all look alike
            torch.nn.init.normal_(weight)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    images.save_pretrained(path)
    (path / "chat_template.jinja").write_text(template)


def _tokenizer(special: dict[str, str]) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens=special,
    )


def _side(shortest: int, longest: int) -> dict[str, int]:
    """Qwen's processors bound the number of pixels."""
    return {"shortest_edge": shortest**2, "longest_edge": longest**2}


def _template(picture: str) -> str:
    """A chat template that shows where pictures stand and where the answer begins."""
    part = "{% if part.type == 'image' %}" + picture + "{% else %}{{ part.text }}{% endif %}"
    return (
        "{% for message in messages %}{{ message.role }}: "
        "{% for part in message.content %}" + part + "{% endfor %}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )


_QWEN_TEMPLATE = _template("<|vision_start|><|image_pad|><|vision_end|>")
_GEMMA_TEMPLATE = _template("<start_of_image>")
_SMOLVLM_TEMPLATE = _template("<image>")
