"""Train the tiny LLaVA that gdrl ships, or measure one.

python jobs/train_tiny_mllm.py --out runs/tiny_llava          # about 25 minutes of one core
python jobs/train_tiny_mllm.py --evaluate gdrl/mllm/tiny_llava
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from gdrl.training.tiny_llava.plan import Plan


def main() -> None:
    """Parse first; torch and transformers load only once the arguments hold."""
    options = _parse()
    if options.out:
        _train(options)
    figures = _evaluate(options.evaluate or options.out, options)
    if options.out:
        from gdrl.training.tiny_llava.card import write_card

        write_card(options.out, figures, options.images)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="train, and write the model to this directory")
    what.add_argument("--evaluate", type=Path, metavar="DIR", help="measure the model in DIR")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--scenes", type=int, default=Plan.num_scenes, help="scenes drawn")
    parser.add_argument("--vision-steps", type=int, default=Plan.vision_steps)
    parser.add_argument("--answer-steps", type=int, default=Plan.answer_steps)
    parser.add_argument("--held-out", type=int, default=800, help="held-out scenes evaluated")
    parser.add_argument("--images", type=int, default=1_500, help="images of each evaluated world")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--processes", type=int, default=2, help="processes that draw")
    options = parser.parse_args()
    if options.evaluate and not (options.evaluate / "config.json").is_file():
        parser.error(f"{options.evaluate} holds no model (no config.json)")
    return options


def _train(options: argparse.Namespace) -> None:
    from gdrl.training.tiny_llava.make import make

    plan = Plan(
        num_scenes=options.scenes,
        vision_steps=options.vision_steps,
        answer_steps=options.answer_steps,
        seed=options.seed,
    )
    make(
        options.out,
        plan,
        num_processes=options.processes,
        num_threads=options.threads,
        log=_print_losses,
        say=lambda line: print(line, flush=True),
    )


def _print_losses(stage: str, step: int, losses: Mapping[str, float]) -> None:
    if (step + 1) % 50 == 0:
        shown = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        print(f"{stage} {step + 1:>5}  {shown}", flush=True)


def _evaluate(path: Path, options: argparse.Namespace) -> dict[str, float]:
    from gdrl.training.tiny_llava.evaluate import evaluate

    figures = evaluate(path, options.held_out, options.images, options.threads)
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value:7.4f}")
    print(json.dumps(figures))
    return figures


if __name__ == "__main__":
    main()
