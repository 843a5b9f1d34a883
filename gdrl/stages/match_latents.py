"""``names``: which latent carries which attribute, by two witnesses."""

import json

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.data.pictures import save_grid
from gdrl.data.scores import read_scores
from gdrl.data.table import load_pixels
from gdrl.distributed.serve import serving
from gdrl.models.representation import Representation
from gdrl.pipeline import extracted_by
from gdrl.stages.naming import name_latents


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Match the extracted latents to the scored attributes and have the traversals named."""
    scores = read_scores(inputs["scores"])
    pixels = load_pixels(inputs["dataset"], scores.ids)
    found = Representation.load(inputs[extracted_by(config.recipe.extractor)])
    with serving(config.recipe.mllm, config.scale.mllm) as mllm:
        naming = name_latents(
            found, found.encode(pixels), scores, config.recipe.matching, mllm.answer
        )
    for latent, strip in enumerate(naming.strips):
        save_grid(out.path / f"strips/latent-{latent:02d}.png", strip)
    rows = naming.rows()
    names = {"latents": rows, "attributes": list(scores.attributes)}
    (out.path / "names.json").write_text(json.dumps(names, indent=2))
    named = [row for row in rows if row["attribute"] is not None]
    return {"num_named": len(named), "num_agreeing": sum(row["agree"] for row in named)}
