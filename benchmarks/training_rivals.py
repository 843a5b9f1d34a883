"""Images per second of another library's trainer on given pixels; runs in a Python that has it.

    PYTHONPATH=. PYTHON benchmarks/training_rivals.py pythae|disent pixels.pt RECIPE

``pixels.pt``: a tensor of bytes, images x 64 x 64 x 3. RECIPE: JSON with ``steps``, ``batch_size``,
``latent_dim`` and ``learning_rate``. The nets are those of ``gdrl.models`` (which needs torch and
jaxtyping alone), the images are float tensors in memory; trainer, loss, data loader and logging are
the library's at its defaults, without worker processes.

The rate is that of the steps between a run of half of ``steps`` and one of all: what both pay once
(nets, rows, loader, first step) is in neither side's clock of benchmarks/training.py. pythae trains
in epochs, and takes as many whole ones as come closest. Prints one JSON object.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from disent_scores import StandIns  # type: ignore[import-not-found]  # beside this script
from torch import Tensor, nn

from gdrl.models.decoder import conv_decoder
from gdrl.models.encoder import conv_encoder

SHAPE = (3, 64, 64)
BETA = 4.0
Settings = dict[str, Any]


def pythae(images: Tensor, settings: Settings) -> int:
    """Train with pythae; the number of images that it saw."""
    from pythae.models import BetaVAE, BetaVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    class WrappedEncoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = conv_encoder(settings["latent_dim"])

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.net(x)
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class WrappedDecoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = conv_decoder(settings["latent_dim"])

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z).sigmoid())

    epochs = max(1, round(settings["steps"] * settings["batch_size"] / len(images)))
    config = BetaVAEConfig(input_dim=SHAPE, latent_dim=settings["latent_dim"], beta=BETA)
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            per_device_train_batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            no_cuda=True,
        )
        model = BetaVAE(config, WrappedEncoder(), WrappedDecoder())
        TrainingPipeline(model=model, training_config=training)(train_data=images)
    return int(epochs * len(images))


def disent(images: Tensor, settings: Settings) -> int:
    """Train with disent; the number of images that it saw."""
    # A framework of disent's that is not trained here wants VGG.
    sys.meta_path.insert(0, StandIns("torchvision"))
    import lightning
    from disent.frameworks.vae import BetaVae
    from disent.model import AutoEncoder, DisentDecoder, DisentEncoder

    class WrappedEncoder(DisentEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(SHAPE, settings["latent_dim"], z_multiplier=2)
            self.net = conv_encoder(settings["latent_dim"])

        def encode(self, x: Tensor) -> Tensor:
            return torch.cat(self.net(x), dim=1)

    class WrappedDecoder(DisentDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(SHAPE, settings["latent_dim"])
            self.net: nn.Module = conv_decoder(settings["latent_dim"])

        def decode(self, z: Tensor) -> Tensor:
            decoded: Tensor = self.net(z)
            return decoded

    framework = BetaVae(
        model=AutoEncoder(WrappedEncoder(), WrappedDecoder()),
        cfg=BetaVae.cfg(
            optimizer="adam",
            optimizer_kwargs={"lr": settings["learning_rate"]},
            loss_reduction="mean_sum",
            beta=BETA,
        ),
    )
    rows: Any = [{"x_targ": (image,)} for image in images]
    loader = torch.utils.data.DataLoader(
        rows, batch_size=settings["batch_size"], shuffle=True, drop_last=True
    )
    steps = settings["steps"]
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_steps=steps,
            logger=False,
            enable_checkpointing=False,
            accelerator="cpu",
            default_root_dir=folder,
        )
        trainer.fit(framework, loader)
    return int(steps * settings["batch_size"])


RIVALS: dict[str, Callable[[Tensor, Settings], int]] = {"pythae": pythae, "disent": disent}


def main() -> None:
    """Train and print."""
    name, pixels, recipe = sys.argv[1:]
    settings = json.loads(recipe)
    torch.set_num_threads(1)
    images = torch.load(pixels).permute(0, 3, 1, 2).float().div_(255).contiguous()
    RIVALS[name](images[: settings["batch_size"]], settings | {"steps": 1})  # imports
    seen, seconds = [], []
    for steps in (settings["steps"] // 2, settings["steps"]):
        start = time.perf_counter()
        seen.append(RIVALS[name](images, settings | {"steps": steps}))
        seconds.append(time.perf_counter() - start)
    if seen[0] == seen[1]:
        raise SystemExit(f"{name} saw {seen[0]} images twice: take more --steps or fewer --images")
    rate = (seen[1] - seen[0]) / (seconds[1] - seconds[0])
    print(json.dumps({"rival": name, "images_per_second": round(rate, 1)}))


if __name__ == "__main__":
    main()
