"""The model card, with the figures that were measured."""

import json
from collections.abc import Mapping
from pathlib import Path

_CARD = """# tiny_llava: the MLLM in this package

A LLaVA (Liu et al. 2023, arXiv 2304.08485) of 3.8 million parameters in bf16: CLIP vision tower (5
layers of 192, 16 patches of 16x16), two-layer projector, Llama (3 layers of 192), a word-level
vocabulary of 50 in which every attribute is one token. An ordinary directory of
`LlavaForConditionalGeneration` and `LlavaProcessor`: what serves it serves a large MLLM as well.

**What it is for.** It lets the whole pipeline run offline, tests included. It stands in for a large
MLLM; it does not replace one.

**Trained on** {num_scenes} scenes of the synthetic world `faces` (drawn with DiceBear), five images
each, all styles, and nothing else. Attributes were drawn *independently*, so nothing it learnt says
which attributes go together. Images were blurred, shifted, faded and ghosted as a VAE does.

**Asked** (question version {question_version}): how strongly an attribute is present, 0 to 5; and
which attribute changes most between two images, or none of these.

**Made by** `python jobs/train_tiny_mllm.py --out DIR --seed {seed}`, in {minutes} minutes of
one core (torch {torch}).

## Held-out figures

Printed by `python jobs/train_tiny_mllm.py --evaluate DIR`. Presence and naming are shares of right
answers. A fifth of the naming strips show no named change. "Naming" shows whole changes in clean
pictures; "degraded" strips are blurred and ghosted, show 35 to 125 % of a change, and drift
elsewhere. Association is Pearson r between the matrix estimated from the scores of {num_images}
images and the population's; "of the labels" is what perfect scores of the same images give.

| figure | value |
| --- | --- |
{table}

## Blind spots

* Any other picture: photographs, other drawing styles, other sizes of head. Its answers there are
  chance, and it does not say so; `gdrl.mllm.embedded.outside_domain` does.
* Any other attribute: its name is `<unk>` to it (`gdrl.mllm.embedded.unknown_attributes`).
* Any other wording of the questions, and free conversation: it has no words for them.
* Counting and comparing more than two pictures: never trained.
"""


def write_card(out: Path, figures: Mapping[str, float], num_images: int) -> None:
    """Write ``README.md`` to a trained model's directory; reads its ``training.json``."""
    record = json.loads((out / "training.json").read_text("utf-8"))
    card = _CARD.format(
        num_scenes=record["plan"]["num_scenes"],
        seed=record["plan"]["seed"],
        question_version=record["question_version"],
        minutes=record["cpu_minutes"],
        torch=record["torch"],
        num_images=num_images,
        table="\n".join(f"| {name} | {value:.3f} |" for name, value in figures.items()),
    )
    (out / "README.md").write_text(card, encoding="utf-8")
