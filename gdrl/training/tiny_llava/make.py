"""The whole recipe of the tiny LLaVA, from a seed to a directory."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from gdrl.mllm.questions import QUESTION_VERSION
from gdrl.training.tiny_llava.architecture import build
from gdrl.training.tiny_llava.degrade import LinearAutoencoder
from gdrl.training.tiny_llava.export import export, export_domain
from gdrl.training.tiny_llava.plan import Plan
from gdrl.training.tiny_llava.scenes import render_scenes
from gdrl.training.tiny_llava.tune import Log, tune_answers, tune_vision

_DOMAIN_SEED_OFFSET = 500_000


def make(
    out: Path,
    plan: Plan,
    *,
    num_processes: int = 1,
    num_threads: int = 1,
    log: Log = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Draw, train and write the model to ``out``; the same plan gives the same model.

    Args:
        out: the directory to write.
        plan: how long and how wide.
        num_processes: processes that draw.
        num_threads: CPU threads of the training.
        log: called after every step with the stage, the step and its losses.
        say: called with a line about what comes next.
    """
    started = time.process_time()
    torch.set_num_threads(num_threads)
    say(f"drawing {plan.num_scenes} scenes")
    scenes = render_scenes(plan.num_scenes, plan.seed, num_processes)
    autoencoder = LinearAutoencoder(scenes)
    model, processor = build(plan.seed)
    say(f"stage 1: the vision tower, {plan.vision_steps} steps")
    tune_vision(model, scenes, autoencoder, plan, log)
    say(f"stage 2: the answers, {plan.answer_steps} steps")
    tune_answers(model, processor, scenes, autoencoder, plan, log)
    say(f"writing {out}")
    export(model, processor, out)
    num_held_out = max(16, plan.num_scenes // 8)
    held_out = render_scenes(num_held_out, plan.seed + _DOMAIN_SEED_OFFSET, num_processes)
    export_domain(out, scenes, held_out, autoencoder, plan.seed)
    record = {
        "plan": asdict(plan),
        "question_version": QUESTION_VERSION,
        "torch": torch.__version__,
        "cpu_minutes": round((time.process_time() - started) / 60, 1),
    }
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
