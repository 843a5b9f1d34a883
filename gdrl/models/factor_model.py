"""A fitted run as one object that people load anywhere: named factors, their graph, a generator."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gdrl.artifacts import Run, Storage, open_store
from gdrl.config import S3Settings
from gdrl.graph import CorrelationGraph
from gdrl.models.representation import Representation
from gdrl.models.storage import load_graph_vae

GRAPH = "graph.json"
NAMES = "names.json"


@dataclass(frozen=True)
class Factor:
    """A latent and what is known of it."""

    index: int
    attribute: str | None
    """Its name; None for a latent that carries none."""
    strength: float
    """``|2 AUROC - 1|`` of the latent for its attribute, on the scored images."""
    sign: int
    """-1 where more of the latent is less of the attribute."""
    absent: float
    present: float
    """The latent at the two ends of the bulk of the scored images: levels 0 and 1."""


@dataclass(frozen=True)
class Intervention:
    """What setting attributes did."""

    images: UInt8[ndarray, "n height width 3"]
    moved: Mapping[str, Float[ndarray, " n"]]
    """By attribute, how far its level moved in each image; the set ones too."""


class FactorModel:
    """Images to named factors and back, through the graph that relates them.

    Arrays in, arrays out: images are uint8 RGB ``(n, size, size, 3)``, codes float ``(n, latent)``.
    An attribute's *level* is 0 where it is absent and 1 where it is present, in the bulk of the
    images that were scored; levels outside [0, 1] extrapolate. Needs neither Ray nor DeepSpeed.
    """

    def __init__(
        self, representation: Representation, factors: Sequence[Factor], graph: CorrelationGraph
    ) -> None:
        self.representation = representation
        self.factors = tuple(factors)
        self.graph = graph
        """Names, signed directed weights as learned, intervals as measured."""
        self._named = {
            factor.attribute: factor for factor in self.factors if factor.attribute is not None
        }

    @classmethod
    def load(
        cls, address: str | Path, *, s3: S3Settings | None = None, device: str = "cpu"
    ) -> FactorModel:
        """Open a run's ``disgraph``: ``runs/demo/disgraph``, or ``s3://bucket/prefix/demo/disgraph``.

        Raises:
            ArtifactMissing: no such artifact is finished there.
            ArtifactCorrupt: a file differs from the manifest, or is not that of a DisGraph.
        """
        head, _, path = str(address).rpartition("://")
        run = PurePosixPath(path).parent
        scheme = f"{head}://" if head else ""
        store = open_store(Storage(f"{scheme}{run.parent}", s3 or S3Settings()))
        return cls.open(Run(store, run.name).open(PurePosixPath(path).name), device=device)

    @classmethod
    def open(cls, folder: Path, *, device: str = "cpu") -> FactorModel:
        """The same from a folder whose files were verified already."""
        representation = Representation(load_graph_vae(folder), device)
        rows = json.loads((folder / NAMES).read_text())["latents"]
        fields = Factor.__dataclass_fields__
        return cls(
            representation,
            [Factor(**{name: row[name] for name in fields}) for row in rows],
            CorrelationGraph.load(folder / GRAPH),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes that a latent carries, in order of the latents."""
        return tuple(self._named)

    def encode(self, images: UInt8[ndarray, "n size size 3"]) -> Float[ndarray, "n latent"]:
        """Posterior means.

        Raises ValueError for anything but uint8 RGB of the model's size.
        """
        size = self.representation.model.image_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise ValueError(
                f"images must be uint8 (n, {size}, {size}, 3), not {images.dtype} {images.shape}; "
                "gdrl.data.decoding.centre_square makes such squares"
            )
        return self.representation.encode(images)

    def decode(self, codes: Float[ndarray, "n latent"]) -> UInt8[ndarray, "n size size 3"]:
        """Images of codes."""
        return self.representation.decode(codes)

    def levels(self, codes: Float[ndarray, "n latent"]) -> dict[str, Float[ndarray, " n"]]:
        """How strongly each named attribute is present."""
        return {
            name: (codes[:, factor.index] - factor.absent) / (factor.present - factor.absent)
            for name, factor in self._named.items()
        }

    def intervene(
        self,
        images: UInt8[ndarray, "n size size 3"],
        values: Mapping[str, float],
        *,
        propagate: bool = True,
    ) -> Intervention:
        """Set attributes to levels; the graph moves the others unless told not to.

        Raises ValueError for a name that no latent carries, or a level that is not finite.
        """
        codes = self.encode(images)
        moved = self.set_levels(codes, values, propagate=propagate)
        before, after = self.levels(codes), self.levels(moved)
        return Intervention(
            self.decode(moved), {name: after[name] - before[name] for name in self.names}
        )

    def set_levels(
        self,
        codes: Float[ndarray, "n latent"],
        values: Mapping[str, float],
        *,
        propagate: bool = True,
    ) -> Float[ndarray, "n latent"]:
        """:meth:`intervene` on codes."""
        latents = {}
        for name, level in values.items():
            factor = self._factor(name)
            if not np.isfinite(level):
                raise ValueError(
                    f"{name} = {level}: a level is a finite number, 0 absent, 1 present"
                )
            latents[factor.index] = factor.absent + level * (factor.present - factor.absent)
        return self.representation.set_latents(codes, latents, propagate)

    def traverse(
        self,
        name: str,
        images: UInt8[ndarray, "n size size 3"],
        num_frames: int = 9,
        *,
        propagate: bool = False,
    ) -> UInt8[ndarray, "n frame size size 3"]:
        """Each image with one attribute from absent to present.

        The others are held, or moved by the graph if told so.
        """
        codes = self.encode(images)
        frames = [
            self.decode(self.set_levels(codes, {name: level}, propagate=propagate))
            for level in np.linspace(0, 1, num_frames).tolist()
        ]
        return np.stack(frames, axis=1)

    def _factor(self, name: str) -> Factor:
        if name not in self._named:
            near = difflib.get_close_matches(name, self.names, n=1) or self.names
            raise ValueError(f"no latent carries {name!r}; there is {', '.join(near)}")
        return self._named[name]
