"""Any image-and-text model of transformers, in process: probabilities from the logits.

One forward pass; text is generated for queries without options alone. A LLaVA gets more: its vision
tower sees each picture once, and all questions about the same pictures share one packed sequence.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    LlavaForConditionalGeneration,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from gdrl.errors import ConfigError, DataError
from gdrl.mllm.completions import TEXT_TOKENS
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.images import decode
from gdrl.mllm.llava import Layout, logits_at, picture_features
from gdrl.mllm.packing import pack
from gdrl.mllm.prompts import chat_prompt, llava_token_ids
from gdrl.mllm.readings import Reading, normalize, readings

_CACHED = 1024
_MAX_PACKED = 64
"""Prompts in one packed sequence: its mask grows with the square of their number."""

T = TypeVar("T")
Pictures = Mapping[bytes, Image.Image]


class _Ask(NamedTuple):
    """One reading of one query."""

    place: int
    query: Query
    reading: Reading


class TransformersEngine:
    """Answers queries with the model in a transformers directory.

    Args:
        path: what ``save_pretrained`` wrote: model, processor and tokenizer.
        batch_size: pictures (or tuples of pictures) per forward pass.
        num_threads: CPU threads; more than there are free cores slows a model this size tenfold.
        device: ``cpu`` or ``cuda``; empty takes the GPU where there is one.
        name: what ``model`` says; empty takes the directory's name.

    Raises:
        ConfigError: ``path`` is no such directory, or its processor needs a package that is not
            installed. Nothing is ever downloaded.
    """

    def __init__(
        self,
        path: Path,
        batch_size: int = 16,
        num_threads: int = 1,
        device: str = "",
        name: str = "",
    ) -> None:
        if not (path / "config.json").is_file():
            raise ConfigError(
                f"recipe.mllm.model: {str(path)!r} holds no config.json; give 'embedded' or a "
                "directory written by save_pretrained"
            )
        torch.set_num_threads(num_threads)
        self.model = name or path.name
        self.revision = _digest(path)
        self._batch_size = batch_size
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = torch.bfloat16 if self._device.startswith("cuda") else torch.float32
        # Any: transformers picks both classes at run time.
        self._processor: Any = _open_processor(path)
        self._processor.tokenizer.padding_side = "left"
        model: Any = AutoModelForImageTextToText.from_pretrained(
            path, dtype=self._dtype, local_files_only=True
        )
        self._weights: Any = model.to(self._device).eval()
        # Tokenizing again what a thousand pictures are asked alike took a third of the time.
        self._readings = lru_cache(_CACHED)(self._tokenized_readings)
        self._prompt = lru_cache(_CACHED)(partial(llava_token_ids, self._processor))

    @torch.inference_mode()
    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer every query, in order; one whose picture cannot be decoded is ``failed``."""
        pictures, failures = _decode_all(queries)
        answers = {
            index: Answer("failed", reason=reason)
            for index, query in enumerate(queries)
            if (reason := _failure(query, failures))
        }
        answers |= {
            index: Answer("ok", (), reply=self._written(query, pictures))
            for index, query in enumerate(queries)
            if index not in answers and not query.options
        }
        asks = [
            _Ask(index, query, reading)
            for index, query in enumerate(queries)
            if index not in answers
            for reading in self._readings(query.options)
        ]
        is_llava = isinstance(self._weights, LlavaForConditionalGeneration)
        scored = self._packed(asks, pictures) if is_llava else self._one_by_one(asks, pictures)
        scores: dict[int, dict[int, float]] = {}
        for ask, log_probabilities in scored:
            for option, tokens in ask.reading.options.items():
                score = sum(float(log_probabilities[t, token]) for t, token in enumerate(tokens))
                scores.setdefault(ask.place, {})[option] = score
        answers |= {
            index: Answer("ok", normalize(by_option)) for index, by_option in scores.items()
        }
        return [answers[index] for index in range(len(queries))]

    @torch.inference_mode()
    def features(self, images: Sequence[Image.Image]) -> Float[Tensor, "images width"]:
        """Mean over patches of what a LLaVA's vision tower makes of each picture.

        Raises:
            ConfigError: the model is no LLaVA.
        """
        if not isinstance(self._weights, LlavaForConditionalGeneration):
            raise ConfigError(f"{self.model} is no LLaVA: its vision tower is not known")
        tower: Any = self._weights.model.vision_tower
        hidden = [tower(self._pixels(batch)).last_hidden_state for batch in _chunks(images, 64)]
        return torch.cat([states[:, 1:].mean(dim=1) for states in hidden]).float().cpu()

    def _packed(
        self, asks: Sequence[_Ask], pictures: Pictures
    ) -> Iterator[tuple[_Ask, Float[Tensor, "reads vocabulary"]]]:
        """LLaVA: pictures once, and one packed sequence per tuple of pictures."""
        groups: dict[tuple[bytes, ...], list[_Ask]] = {}
        for ask in asks:
            groups.setdefault(ask.query.images, []).append(ask)
        rows = [row for group in groups.values() for row in _chunks(group, _MAX_PACKED)]
        for batch in _chunks(rows, self._batch_size):
            yield from self._packed_batch(batch, pictures)

    def _packed_batch(
        self, rows: Sequence[Sequence[_Ask]], pictures: Pictures
    ) -> Iterator[tuple[_Ask, Float[Tensor, "reads vocabulary"]]]:
        shown = list(dict.fromkeys(image for row in rows for image in row[0].query.images))
        features = picture_features(self._weights, self._pixels([pictures[i] for i in shown]))
        place = {image: index for index, image in enumerate(shown)}
        order = [place[image] for row in rows for image in row[0].query.images]
        prompts = [
            [self._prompt(len(q.images), q.question, features.shape[1]) for _, q, _ in row]
            for row in rows
        ]
        packed = [
            pack([[*ids, *ask.reading.stem] for ids, ask in zip(row_ids, row, strict=True)])
            for row_ids, row in zip(prompts, rows, strict=True)
        ]
        # Where each ask's option tokens are predicted, row by row and padded with position 0.
        reads = [
            [
                packed[r].index(p, len(prompts[r][p]) - 1 + t)
                for p, ask in enumerate(row)
                for t in range(len(ask.reading.stem) + 1)
            ]
            for r, row in enumerate(rows)
        ]
        most = max(len(row) for row in reads)
        read_at = torch.tensor([row + [0] * (most - len(row)) for row in reads])
        logits = logits_at(
            self._weights,
            Layout(packed, self._device),
            features[order].flatten(0, 1),
            read_at.to(self._device),
        )
        log_probabilities = logits.float().log_softmax(dim=-1).cpu()
        for row, of_row in zip(rows, log_probabilities, strict=True):
            start = 0
            for ask in row:
                end = start + len(ask.reading.stem) + 1
                yield ask, of_row[start:end]
                start = end

    def _one_by_one(
        self, asks: Sequence[_Ask], pictures: Pictures
    ) -> Iterator[tuple[_Ask, Float[Tensor, "reads vocabulary"]]]:
        """Any other architecture: one row per reading, batched with others of one stem length."""
        by_length: dict[int, list[_Ask]] = {}
        for ask in asks:
            by_length.setdefault(len(ask.reading.stem), []).append(ask)
        for length, group in by_length.items():
            for batch in _chunks(group, self._batch_size):
                inputs = self._processor(
                    text=[
                        chat_prompt(self._processor, len(ask.query.images), ask.query.question)
                        for ask in batch
                    ],
                    images=[[pictures[image] for image in ask.query.images] for ask in batch],
                    padding=True,
                    return_tensors="pt",
                )
                inputs = _extended(dict(inputs), torch.tensor([ask.reading.stem for ask in batch]))
                inputs = {name: self._moved(tensor) for name, tensor in inputs.items()}
                logits = self._weights(**inputs, logits_to_keep=length + 1, use_cache=False).logits
                log_probabilities = logits[:, -(length + 1) :].float().log_softmax(dim=-1).cpu()
                yield from zip(batch, log_probabilities, strict=True)

    def _written(self, query: Query, pictures: Pictures) -> str:
        """What the model writes, taking the likeliest token each time."""
        inputs = self._processor(
            text=[chat_prompt(self._processor, len(query.images), query.question)],
            images=[[pictures[image] for image in query.images]],
            return_tensors="pt",
        )
        inputs = {name: self._moved(tensor) for name, tensor in dict(inputs).items()}
        written = self._weights.generate(**inputs, max_new_tokens=TEXT_TOKENS, do_sample=False)
        new = written[0, inputs["input_ids"].shape[1] :]
        reply: str = self._processor.tokenizer.decode(new, skip_special_tokens=True)
        return reply.strip()

    def _pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "images 3 height width"]:
        batch = self._processor.image_processor(list(images), return_tensors="pt")
        return self._moved(batch["pixel_values"])

    def _moved(self, tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return tensor.to(self._device, self._dtype)
        return tensor.to(self._device)

    def _tokenized_readings(self, options: tuple[str, ...]) -> list[Reading]:
        tokenized = self._processor.tokenizer(list(options), add_special_tokens=False)
        return readings(tokenized.input_ids)


def _open_processor(path: Path) -> Any:
    """The model's processor for text and pictures.

    Where it reads videos too (Qwen, SmolVLM, Gemma 4), that part is left out: it needs torchvision,
    and nothing here asks about a video.
    """
    config = AutoConfig.from_pretrained(path, local_files_only=True)
    reader: Any = PROCESSOR_MAPPING.get(type(config), None)
    without: dict[str, None] = {}
    if reader is not None and "video_processor" in reader.get_attributes():
        parts = [part for part in reader.get_attributes() if part != "video_processor"]
        reader = type(reader.__name__, (reader,), {"get_attributes": classmethod(lambda _: parts)})
        without = {"video_processor": None}
    try:
        return (reader or AutoProcessor).from_pretrained(path, local_files_only=True, **without)
    except ImportError as error:
        raise ConfigError(
            f"recipe.mllm.model: the processor of {str(path)!r} needs another package: "
            f"{' '.join(str(error).split())}"
        ) from error


def _decode_all(queries: Sequence[Query]) -> tuple[Pictures, Mapping[bytes, str]]:
    """Every distinct picture decoded once; for those that cannot be, the reason."""
    pictures: dict[bytes, Image.Image] = {}
    failures: dict[bytes, str] = {}
    for image in dict.fromkeys(image for query in queries for image in query.images):
        try:
            pictures[image] = decode(image)
        except DataError as error:
            failures[image] = str(error)
    return pictures, failures


def _failure(query: Query, failures: Mapping[bytes, str]) -> str:
    """Why a query cannot be asked; empty where it can."""
    if not query.images:
        return "a query needs an image"
    return next((failures[image] for image in query.images if image in failures), "")


def _extended(inputs: dict[str, Tensor], stems: Tensor) -> dict[str, Tensor]:
    """Append the stems to ``input_ids`` and to the tensors that run along it."""
    tokens = inputs["input_ids"]
    for name, tensor in inputs.items():
        if tensor.shape == tokens.shape:
            fill = {"input_ids": stems, "attention_mask": torch.ones_like(stems)}
            tail = fill.get(name, torch.zeros_like(stems))
            inputs[name] = torch.cat([tensor, tail.to(tensor.dtype)], dim=1)
    return inputs


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _digest(path: Path) -> str:
    """First 12 digits of a sha256 over weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    for file in sorted([*path.glob("*.safetensors"), *path.glob("*.json"), *path.glob("*.jinja")]):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
