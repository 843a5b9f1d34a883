"""Name the latents of a model by two witnesses, and keep both verdicts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from jaxtyping import Float, UInt8
from numpy import ndarray

from gdrl.config import MatchingRecipe
from gdrl.data.scores import Scores
from gdrl.graph import Matching, match
from gdrl.models.representation import Representation
from gdrl.stages.witness import Ask, Verdict, name_strips

NUM_FACES = 8
"""Images that each latent is traversed from: one face may already wear the hat."""

LatentRow: TypeAlias = dict[str, Any]
"""One latent as JSON: index, attribute (or None), strength, sign, and what else is known of it."""


@dataclass(frozen=True)
class Naming:
    """Both witnesses' verdicts on every latent, and the strips that the second one saw."""

    attributes: tuple[str, ...]
    matching: Matching
    verdicts: list[Verdict]
    strips: list[UInt8[ndarray, "faces frames height width 3"]]

    def rows(self) -> list[LatentRow]:
        """One row a latent, in order; ``agree`` says that both witnesses name it alike."""
        return [
            {**row, "witness": asdict(seen), "agree": row["attribute"] == seen.attribute}
            for row, seen in zip(
                latent_rows(self.matching, self.attributes), self.verdicts, strict=True
            )
        ]


def latent_rows(matching: Matching, attributes: Sequence[str]) -> list[LatentRow]:
    """The first witness alone: one row a latent, in order."""
    return [
        {
            "index": latent.index,
            "attribute": None if latent.attribute is None else attributes[latent.attribute],
            "strength": latent.strength,
            "sign": latent.sign,
        }
        for latent in matching.latents
    ]


def name_latents(
    model: Representation,
    codes: Float[ndarray, "images latent"],
    scores: Scores,
    recipe: MatchingRecipe,
    ask: Ask,
) -> Naming:
    """Match the codes of the scored images to their scores, then show traversals to the MLLM."""
    matching = match(codes, scores.levels, recipe.threshold)
    strips = [
        model.traverse(codes, latent, NUM_FACES, recipe.num_frames, recipe.traversal_range)
        for latent in range(codes.shape[1])
    ]
    return Naming(scores.attributes, matching, name_strips(strips, scores.attributes, ask), strips)
