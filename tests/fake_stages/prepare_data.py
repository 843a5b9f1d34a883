from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    (out.path / "shards").mkdir()
    (out.path / "shards/images.txt").write_text("an image\n" * config.recipe.dataset.num_images)
    return {"num_images": config.recipe.dataset.num_images}
