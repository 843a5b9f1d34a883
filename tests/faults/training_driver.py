"""A driver that trains the β-VAE on the run ``demo``'s dataset: to be killed and started again.

python -m tests.faults.training_driver STORAGE OUT SCALE STEPS [ADDRESS]
"""

import sys
from pathlib import Path

from gdrl.artifacts import Run, Storage, open_store
from gdrl.config import ClusterScale, TrainScale, VaeRecipe
from gdrl.distributed.session import connect
from gdrl.distributed.train import fit

RECIPE = VaeRecipe(latent_dim=6, steps=6, batch_size=8)
FUNCTION = "tests.faults.training_functions:train"


def train(storage: Storage, out: Path, scale: TrainScale, recipe: VaeRecipe = RECIPE) -> None:
    """Fit on the run's data set; checkpoints lie beside it, in the run's training folder."""
    fit(
        FUNCTION,
        name="vae",
        recipe=recipe,
        inputs={"dataset": Run(open_store(storage), "demo").source("dataset")},
        scale=scale,
        storage=storage / "demo/training/vae",
        out=out,
    )


if __name__ == "__main__":
    uri, folder, scale, steps, *address = sys.argv[1:]
    connect(ClusterScale(num_cpus=4, address=address[0] if address else ""))
    recipe = RECIPE.model_copy(update={"steps": int(steps)})
    train(Storage(uri), Path(folder), TrainScale.model_validate_json(scale), recipe)
