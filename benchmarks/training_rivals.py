"""Images per second of another library's trainer on given pixels; runs in a Python that has it.

    PYTHONPATH=. PYTHON benchmarks/training_rivals.py pythae|disent pixels.pt RECIPE

``pixels.pt``: a tensor of bytes, images x 64 x 64 x 3. RECIPE: JSON with ``steps``, ``batch_size``,
``latent_dim`` and ``learning_rate``. The nets are those of ``gdrl.models`` (which needs torch and
jaxtyping alone), the images are float tensors in memory; trainer, loss, data loader and logging are
the library's at its defaults, without worker processes. Prints one JSON object.
"""

import importlib.machinery
import json
import sys
import tempfile
import time
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gdrl.models.decoder import Decoder
from gdrl.models.encoder import Encoder

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
            self.net = Encoder(settings["latent_dim"])

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.net(x)
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class WrappedDecoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = Decoder(settings["latent_dim"])

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
    _stand_in_for_torchvision()
    import lightning
    from disent.frameworks.vae import BetaVae
    from disent.model import AutoEncoder, DisentDecoder, DisentEncoder

    class WrappedEncoder(DisentEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(SHAPE, settings["latent_dim"], z_multiplier=2)
            self.net = Encoder(settings["latent_dim"])

        def encode(self, x: Tensor) -> Tensor:
            return torch.cat(self.net(x), dim=1)

    class WrappedDecoder(DisentDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(SHAPE, settings["latent_dim"])
            self.net: nn.Module = Decoder(settings["latent_dim"])

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
    loader = torch.utils.data.DataLoader(rows, batch_size=settings["batch_size"], shuffle=True)
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


def _stand_in_for_torchvision() -> None:
    """Satisfy the import of a framework of disent's that wants VGG and is not trained here."""
    for name in ("torchvision", "torchvision.models"):
        stand_in: Any = types.ModuleType(name)
        stand_in.__spec__ = importlib.machinery.ModuleSpec(name, None)
        stand_in.vgg19_bn = None
        sys.modules[name] = stand_in


RIVALS: dict[str, Callable[[Tensor, Settings], int]] = {"pythae": pythae, "disent": disent}


def main() -> None:
    """Train and print."""
    name, pixels, recipe = sys.argv[1:]
    settings = json.loads(recipe)
    torch.set_num_threads(1)
    images = torch.load(pixels).permute(0, 3, 1, 2).float().div_(255).contiguous()
    RIVALS[name](images[: settings["batch_size"]], settings | {"steps": 1})  # imports, first step
    start = time.perf_counter()
    seen = RIVALS[name](images, settings)
    rate = seen / (time.perf_counter() - start)
    print(json.dumps({"rival": name, "images_per_second": round(rate, 1)}))


if __name__ == "__main__":
    main()
