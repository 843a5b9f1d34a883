"""A fitted run as one object that people load anywhere: named factors, their graph, a generator."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gdrl.artifacts import Run, Storage, open_store
from gdrl.config import S3Settings
from gdrl.errors import ArtifactCorrupt, ArtifactMissing
from gdrl.graph import CorrelationGraph
from gdrl.models.representation import Images, Representation
from gdrl.models.storage import DESCRIPTION, load_graph_vae

GRAPH = "graph.json"
NAMES = "names.json"
NUMBERS = (int, float, np.integer, np.floating)

Parsed = TypeVar("Parsed")


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

    @property
    def gap(self) -> float:
        """From level 0 to level 1."""
        return self.present - self.absent

    def at(self, level: float) -> float:
        """The latent at a level; ValueError for anything but a finite number."""
        if not isinstance(level, NUMBERS) or not math.isfinite(level):
            raise ValueError(
                f"{self.attribute} = {level!r}: a level is a finite number, 0 absent, 1 present"
            )
        return self.absent + float(level) * self.gap


@dataclass(frozen=True)
class Intervention:
    """What setting attributes did."""

    images: UInt8[ndarray, "n height width 3"]
    moved: Mapping[str, Float[ndarray, " n"]]
    """By attribute, how far its level moved in each image, in levels; the set ones too."""


class FactorModel:
    """Images to named factors and back, through the graph that relates them.

    Arrays in, arrays out: images are uint8 RGB ``(n, size, size, 3)`` or a list of such squares,
    codes float ``(n, latent)``; anything else is a ValueError that names what was expected.
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

        Args:
            address: of the artifact; ``~`` is one's home.
            s3: how ``s3://`` is reached.
            device: torch's name of it, as ``cuda:0``.

        Raises:
            ArtifactMissing: no such artifact is finished there, or it holds no model.
            ArtifactCorrupt: a file differs from the manifest, or is not that of a DisGraph.
            ConfigError: the address is of no storage, or torch cannot use ``device`` here.
            StorageError: the storage refuses or cannot be reached.
        """
        head, separator, rest = str(address).rpartition("://")
        path = PurePosixPath(rest if separator else Path(rest).expanduser().absolute())
        place, name = f"{head}{separator}{path}", path.name
        wanted = "give the address of a run's disgraph, …/RUN/disgraph"
        if len(path.parts) < 3:
            raise ArtifactMissing(f"{place} is no artifact of a run: {wanted}")
        storage = Storage(f"{head}{separator}{path.parents[1]}", s3 or S3Settings())
        run = Run(open_store(storage), path.parent.name)
        manifest = run.manifest(name)
        if manifest is None:
            raise ArtifactMissing(f"there is no finished {name} at {place}: {wanted}")
        if DESCRIPTION not in [entry.path for entry in manifest.files]:
            raise ArtifactMissing(f"{place} holds no model: {wanted}")
        return cls.open(run.fetch(manifest), device=device)

    @classmethod
    def open(cls, folder: Path, *, device: str = "cpu") -> FactorModel:
        """The same from a folder whose files were verified already; raises as :meth:`load` does."""
        representation = Representation(load_graph_vae(folder), device)
        factors = _parse(folder / NAMES, _factors)
        return cls(representation, factors, _parse(folder / GRAPH, CorrelationGraph.from_dict))

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes that a latent carries, in order of the latents."""
        return tuple(self._named)

    def encode(self, images: Images) -> Float[ndarray, "n latent"]:
        """Posterior means, float32.

        Raises ValueError for anything but uint8 RGB of the model's size.
        """
        return self.representation.encode(images)

    def decode(self, codes: Float[ndarray, "n latent"]) -> UInt8[ndarray, "n size size 3"]:
        """Images of codes.

        Raises ValueError for anything but finite floats, as many a row as the model has latents.
        """
        return self.representation.decode(codes)

    def levels(self, codes: Float[ndarray, "n latent"]) -> dict[str, Float[ndarray, " n"]]:
        """How strongly each named attribute is present; raises as :meth:`decode` does."""
        codes = self.representation.check_codes(codes)
        return {
            name: (codes[:, factor.index] - factor.absent) / factor.gap
            for name, factor in self._named.items()
        }

    def intervene(
        self,
        images: Images,
        values: Mapping[str, float],
        *,
        propagate: bool = True,
    ) -> Intervention:
        """Set attributes to levels; the graph moves the others unless told not to.

        Raises ValueError for a name that no latent carries, a level that is no finite number, and
        as :meth:`encode` does.
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
        """:meth:`intervene` on codes; raises as it and :meth:`decode` do.

        Where level i rises by 1 (its attribute appears), the graph raises level j by the weight of
        i -> j, the change of j's probability, summed over the set attributes, which themselves stay
        where they were set. Latents without a name stay. Weights are associations, which hold what
        passes through third attributes: one hop is all.
        """
        codes = self.representation.check_codes(codes)
        moved = codes.copy()
        targets = {self._factor(name): level for name, level in values.items()}
        ends = {factor.index: factor.at(level) for factor, level in targets.items()}
        if propagate:
            for source in targets:
                risen = (ends[source.index] - codes[:, source.index]) / source.gap
                for factor in self._named.values():
                    moved[:, factor.index] += self._weight(source, factor) * factor.gap * risen
        for index, end in ends.items():
            moved[:, index] = end
        return moved

    def traverse(
        self,
        name: str,
        images: Images,
        num_frames: int = 9,
        *,
        propagate: bool = False,
    ) -> UInt8[ndarray, "n frame size size 3"]:
        """Each image with one attribute from absent to present.

        The others are held, or moved by the graph if told so. Levels are 0 to 1 in equal steps.
        Raises ValueError as :meth:`intervene` does, and where there is no frame to draw.
        """
        if num_frames < 1:
            raise ValueError(f"num_frames = {num_frames}: a traversal has at least one frame")
        codes = self.encode(images)
        frames = [
            self.decode(self.set_levels(codes, {name: level}, propagate=propagate))
            for level in np.linspace(0, 1, num_frames).tolist()
        ]
        return np.stack(frames, axis=1)

    def _weight(self, source: Factor, target: Factor) -> float:
        i, j = (self.graph.names.index(str(factor.attribute)) for factor in (source, target))
        return float(self.graph.adjacency[i, j])

    def _factor(self, name: str) -> Factor:
        if name in self._named:
            return self._named[name]
        if not self._named:
            raise ValueError(f"no latent carries {name!r}: the model has no named factors")
        folded = {known.casefold(): known for known in self.names}
        near = difflib.get_close_matches(str(name).casefold(), folded, n=1)
        known = [folded[match] for match in near] or self.names
        raise ValueError(f"no latent carries {name!r}; there is {', '.join(known)}")


def _factors(stored: Mapping[str, Any]) -> list[Factor]:
    fields = Factor.__dataclass_fields__
    return [Factor(**{name: row[name] for name in fields}) for row in stored["latents"]]


def _parse(file: Path, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
    try:
        return parse(json.loads(file.read_text()))
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise ArtifactCorrupt(
            f"{file} is not that of a disgraph as this version writes it ({error!r}); make the "
            "run's disgraph anew"
        ) from error
