"""``encoders``: one of images, one of the MLLM's answers; or a pre-trained model's features."""

import json
from pathlib import Path

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.data.features import write_features
from gdrl.data.table import train_ids
from gdrl.distributed.features import extract_features
from gdrl.distributed.train import fit
from gdrl.models.image_features import check_pretrained


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Train on the scored images, or extract features of the training split."""
    if config.recipe.encoders.model:
        return _extract(config, inputs, out.path)
    return fit(
        "gdrl.training.encoders:train",
        name="train_encoders",
        recipe=config.recipe.encoders,
        inputs=inputs.sources,
        scale=config.scale.encoders,
        storage=out.training,
        out=out.path,
        tracking=config.tracking,
    )


def _extract(config: RunConfig, inputs: Inputs, folder: Path) -> Metrics:
    recipe, dataset = config.recipe.encoders, inputs.sources["dataset"]
    check_pretrained(Path(recipe.model))
    table = extract_features(
        dataset, train_ids(inputs["dataset"]), Path(recipe.model), config.scale.encoders
    )
    write_features(table, folder)
    asked = json.loads((inputs["scores"] / "scores.json").read_text())["attributes"]
    feature_dim = table.schema.field("features").type.list_size
    description = {
        "kind": "image_features",
        "model": recipe.model,
        "net": recipe.net,
        "num_attributes": len(asked),
        "feature_dim": feature_dim,
    }
    (folder / "model.json").write_text(json.dumps(description, indent=2) + "\n")
    return {"num_images": table.num_rows, "feature_dim": feature_dim}
