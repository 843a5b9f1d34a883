"""Questions as the chat prompts of a transformers processor."""

from typing import Any


def chat_prompt(processor: Any, num_images: int, question: str) -> str:
    """The question through the model's own chat template, up to where its answer begins."""
    images = [{"type": "image"}] * num_images
    # Templates of models that would otherwise open with a chain of thought read this.
    thinks = "enable_thinking" in str(processor.chat_template)
    switches = {"enable_thinking": False} if thinks else {}
    # The tokenizer renders it: SmolVLM's processor would look for its video half first.
    text: str = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": [*images, {"type": "text", "text": question}]}],
        chat_template=processor.chat_template,
        add_generation_prompt=True,
        tokenize=False,
        **switches,
    )
    return text


def llava_token_ids(
    processor: Any, num_images: int, question: str, tokens_per_image: int
) -> tuple[int, ...]:
    """Token ids of the prompt, with one image token per vision feature."""
    text = chat_prompt(processor, num_images, question)
    text = text.replace(processor.image_token, processor.image_token * tokens_per_image)
    return tuple(processor.tokenizer(text, add_special_tokens=False).input_ids)
