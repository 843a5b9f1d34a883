"""The tiny LLaVA, untrained: an ordinary LLaVA of 3.7 million parameters and its processor.

LLaVA is Liu et al. 2023 (arXiv 2304.08485): a CLIP vision tower, a two-layer projector, a Llama.
"""

from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from gdrl.data.faces import ATTRIBUTES
from gdrl.mllm.questions import LEVELS, NONE, naming_query, score_query

IMAGE_SIZE = 64
PATCH_SIZE = 16
IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
WIDTH = 192

PAD, BEGIN, END, UNKNOWN, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> "
    "{% if message['content'] is string %}{{ message['content'] }} {% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }} {% else %}<image> {% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build(seed: int) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """A freshly initialised model (fp32, eager attention) and its processor."""
    torch.manual_seed(seed)
    processor = build_processor()
    config = _config(processor.tokenizer)
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager")
    for parameter in model.model.multi_modal_projector.parameters():
        # Fan-in initialisation: at the default 0.02 the pictures reach the language model 20 times
        # smaller than its words, and the loss sat at the answers' prior for 600 steps.
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return model, processor


def build_processor() -> LlavaProcessor:
    """Word-level tokenizer, chat template, and images scaled to 64x64 in [-1, 1]."""
    images = CLIPImageProcessorPil(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=_tokenizer(),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """One token per word; attribute names, of one word or several, are one token each.

    So every option of every question begins with a token of its own, and a name from outside the
    world becomes ``<unk>``.
    """
    questions = [score_query(b"", ""), naming_query([b"", b""], [""])]
    text = " ".join(query.question.replace(NONE, "") for query in questions).lower()
    split = pre_tokenizers.Split(Regex(r"[^\w]+"), "removed")
    words = {word for word, _ in split.pre_tokenize_str(text)} | set(LEVELS)
    special = [PAD, BEGIN, END, UNKNOWN, IMAGE, *ROLES]
    names = [*ATTRIBUTES, NONE]
    vocabulary = [*special, *sorted(words), *names]
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token=UNKNOWN)
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    tokenizer.add_tokens([AddedToken(name, single_word=True, normalized=True) for name in names])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[IMAGE, *ROLES],
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
    )


def _config(tokenizer: Any) -> LlavaConfig:
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        projection_dim=WIDTH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        # At the default 0.02 a model this narrow learns the answers' prior and stays there.
        initializer_range=0.07,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
