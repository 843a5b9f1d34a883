"""The two stages of training: first the eyes, then the answers.

Without the first stage the language model learns the prior of the answers and waits for the vision
tower for hundreds of steps; with it, the loss falls from the first steps on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gdrl.data.faces import ATTRIBUTES
from gdrl.mllm.llava import Layout, logits_at, picture_features
from gdrl.mllm.packing import pack
from gdrl.mllm.prompts import llava_token_ids
from gdrl.mllm.questions import LEVELS, naming_query, score_query
from gdrl.training.tiny_llava import lessons
from gdrl.training.tiny_llava.architecture import IMAGE_TOKENS, WIDTH
from gdrl.training.tiny_llava.degrade import LinearAutoencoder, degrade, to_pixels
from gdrl.training.tiny_llava.plan import Plan
from gdrl.training.tiny_llava.scenes import Scenes

Log = Callable[[str, int, Mapping[str, float]], None]

_PRESENCE_GHOST, _STRIP_GHOST = 0.5, 0.9
"""More ghosting in strips: a change stays visible where a detail no longer is."""
_END_WEIGHT = 0.05
"""Weight of the end-of-turn token after the answer: trivial, but a served model has to stop."""


def tune_vision(
    model: Any, scenes: Scenes, autoencoder: LinearAutoencoder, plan: Plan, log: Log
) -> None:
    """Stage one: the vision tower learns the attributes through two heads that are thrown away."""
    generator = np.random.default_rng((plan.seed, 1))
    presence_head = nn.Linear(WIDTH, len(ATTRIBUTES))
    change_head = nn.Sequential(
        nn.Linear(2 * WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, len(ATTRIBUTES) + 1)
    )
    tower = model.model.vision_tower
    trained = nn.ModuleList([tower, presence_head, change_head])
    optimizer = torch.optim.AdamW(trained.parameters(), weight_decay=0.05, betas=(0.9, 0.95))

    def pooled(pixels: Float[Tensor, "groups frames 3 64 64"]) -> Float[Tensor, "groups width"]:
        hidden = tower(pixels.flatten(0, 1)).last_hidden_state[:, 1:].mean(dim=1)
        return torch.as_tensor(hidden).view(len(pixels), -1)

    for step in _steps(optimizer, plan.vision_steps, 1e-3):
        shown = lessons.presence(scenes, plan.vision_pictures, generator)
        strips = lessons.strips(scenes, plan.vision_strips, generator, all_options=True)
        pictures = to_pixels(shown.pictures[:, None])
        pictures = degrade(pictures, autoencoder, generator, _PRESENCE_GHOST)
        frames = degrade(to_pixels(strips.frames), autoencoder, generator, _STRIP_GHOST)
        with torch.autocast("cpu", torch.bfloat16):
            presence_logits = presence_head(pooled(pictures)).float()
            change_logits = change_head(pooled(frames)).float()
        target = shown.levels / lessons.MAX_LEVEL
        presence_loss = functional.binary_cross_entropy_with_logits(presence_logits, target)
        change_loss = functional.cross_entropy(change_logits, strips.answers)
        (presence_loss + 0.2 * change_loss).backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        log("vision", step, {"presence": presence_loss.item(), "change": change_loss.item()})


def tune_answers(
    model: Any,
    processor: Any,
    scenes: Scenes,
    autoencoder: LinearAutoencoder,
    plan: Plan,
    log: Log,
) -> None:
    """Stage two: the whole model learns to answer, as it will be asked."""
    generator = np.random.default_rng((plan.seed, 2))
    tower = set(model.model.vision_tower.parameters())
    rest = [parameter for parameter in model.parameters() if parameter not in tower]
    optimizer = torch.optim.AdamW(
        [{"params": list(tower), "share": plan.vision_share}, {"params": rest, "share": 1.0}],
        weight_decay=0.05,
        betas=(0.9, 0.95),
    )
    asked = [score_query(b"", attribute).question for attribute in ATTRIBUTES]
    presence_prompts = [llava_token_ids(processor, 1, text, IMAGE_TOKENS) for text in asked]
    model.train()
    for step in _steps(optimizer, plan.answer_steps, plan.learning_rate):
        shown = lessons.presence(scenes, plan.answer_pictures, generator)
        pictures = to_pixels(shown.pictures[:, None])
        pictures = degrade(pictures, autoencoder, generator, _PRESENCE_GHOST)
        presence_loss = _answer_loss(
            model, processor, presence_prompts, pictures, shown.levels, LEVELS
        )
        presence_loss.backward()

        strips = lessons.strips(scenes, plan.answer_strips, generator)
        frames = degrade(to_pixels(strips.frames), autoencoder, generator, _STRIP_GHOST)
        query = naming_query([b"", b""], strips.options)
        prompts = [llava_token_ids(processor, 2, query.question, IMAGE_TOKENS)]
        naming_loss = _answer_loss(
            model, processor, prompts, frames, strips.answers[:, None], query.options
        )
        naming_loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        log("answers", step, {"presence": presence_loss.item(), "naming": naming_loss.item()})
    model.eval()


def _answer_loss(
    model: Any,
    processor: Any,
    prompts: Sequence[tuple[int, ...]],
    pixels: Float[Tensor, "batch frames 3 64 64"],
    answers: Tensor,
    options: tuple[str, ...],
) -> Tensor:
    """Cross-entropy of the answer tokens, and of the end of turn after them.

    ``answers[row, prompt]`` indexes ``options``. All prompts of a row share its pictures.
    """
    tokenizer = processor.tokenizer
    option_ids = torch.tensor(tokenizer.convert_tokens_to_ids(list(options)))
    # Each prompt is packed with room for its answer, whose own output must be the end of turn.
    packed = pack([[*prompt, tokenizer.pad_token_id] for prompt in prompts])
    answer_at = torch.tensor([packed.index(i, len(prompt)) for i, prompt in enumerate(prompts)])
    before = [packed.index(i, len(prompt) - 1) for i, prompt in enumerate(prompts)]
    read_at = torch.cat([torch.tensor(before), answer_at]).repeat(len(pixels), 1)
    targets = option_ids[answers]
    layout = Layout([packed] * len(pixels))
    layout.token_ids[:, answer_at] = targets
    with torch.autocast("cpu", torch.bfloat16):
        features = picture_features(model, pixels.flatten(0, 1))
        logits = logits_at(model, layout, features.flatten(0, 1), read_at)
    answer_logits, end_logits = logits.float().chunk(2, dim=1)
    ends = torch.full_like(targets, tokenizer.eos_token_id)
    loss = functional.cross_entropy(answer_logits.flatten(0, 1), targets.flatten())
    return loss + _END_WEIGHT * functional.cross_entropy(end_logits.flatten(0, 1), ends.flatten())


def _steps(optimizer: torch.optim.Optimizer, num: int, peak: float) -> Iterator[int]:
    """Count steps; clear gradients; warm the learning rate up over 50 steps, then down to zero."""
    for step in range(num):
        rate = peak * min(1.0, (step + 1) / 50) * (1 - step / num) + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        optimizer.zero_grad()
        yield step
