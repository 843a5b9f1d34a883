"""Models as folders: ``model.safetensors``, and ``model.json`` that says how to rebuild them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gdrl.errors import ArtifactCorrupt, ArtifactMissing, ConfigError
from gdrl.models.beta_vae import BetaVae
from gdrl.models.graph_vae import GraphVae
from gdrl.models.image_answer_encoders import ImageAnswerEncoders

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"


def save_model(
    model: BetaVae | ImageAnswerEncoders,
    folder: Path,
    weights: Mapping[str, Tensor] | None = None,
    **notes: object,
) -> None:
    """Write weights and description; ``weights`` stands in for the module's own."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict() if weights is None else weights
    save_file({name: value.contiguous().cpu() for name, value in state.items()}, folder / WEIGHTS)
    described = {**model.description(), **notes}
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n")


def load_model(folder: Path) -> BetaVae:
    """The stored module, in evaluation mode; a :class:`GraphVae` where ``model.json`` says so.

    Raises:
        ArtifactMissing: one of the two files is not there.
        ArtifactCorrupt: the description names no known model, one without a decoder, or the weights
            do not fit it exactly.
    """
    model = _load(folder)
    if not isinstance(model, BetaVae):
        raise ArtifactCorrupt(
            f"{folder} holds {model.kind}, which decode nothing: load the run's components"
        )
    return model


def load_graph_vae(folder: Path) -> GraphVae:
    """:func:`load_model` where only a DisGraph will do.

    Raises:
        ArtifactCorrupt: the folder holds another kind of model.
    """
    model = load_model(folder)
    if not isinstance(model, GraphVae):
        raise ArtifactCorrupt(
            f"{folder} holds a {model.kind}, which has no graph: load the run's disgraph"
        )
    return model


def load_encoders(folder: Path) -> ImageAnswerEncoders:
    """As :func:`load_model`, of both encoders of a contrastive pair.

    Raises:
        ArtifactCorrupt: the folder holds another kind of model.
    """
    model = _load(folder)
    if not isinstance(model, ImageAnswerEncoders):
        raise ArtifactCorrupt(f"{folder} holds a {model.kind}: load the run's encoders")
    return model


def _load(folder: Path) -> BetaVae | ImageAnswerEncoders:
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise ArtifactMissing(f"{folder / name} does not exist: train the model first")
    model = _build(folder / DESCRIPTION)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise ArtifactCorrupt(
            f"{folder / WEIGHTS} does not fit {DESCRIPTION}; train the model again: {error}"
        ) from error
    return model.eval()


def _build(path: Path) -> BetaVae | ImageAnswerEncoders:
    try:
        description: dict[str, Any] = json.loads(path.read_text())
        kind, nets = description["kind"], (description["net"], description["image_size"])
        if kind == BetaVae.kind:
            return BetaVae(description["latent_dim"], *nets)
        if kind == GraphVae.kind:
            shape = description["latent_dim"], description["num_layers"], *nets
            return GraphVae(*shape, signed=description.get("signed", True))
        if kind == ImageAnswerEncoders.kind:
            widths = description["num_attributes"], description["feature_dim"]
            return ImageAnswerEncoders(*widths, *nets)
    except (json.JSONDecodeError, KeyError, TypeError, ConfigError) as error:
        raise ArtifactCorrupt(f"{path} does not describe a model: {error!r}") from error
    raise ArtifactCorrupt(f"{path} describes a {kind!r}, which this version cannot build")
