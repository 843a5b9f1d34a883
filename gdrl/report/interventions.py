"""What the page needs to let a reader set an attribute and watch the others follow."""

from dataclasses import dataclass
from typing import Any

from gdrl.data.pictures import slug
from gdrl.report.figures.pictures import Picture, embed
from gdrl.report.sources import Matrix, Sources, finite, matrix

NUM_COLUMNS = 9
"""Values in a sprite where ``evaluation.json`` does not list them."""


@dataclass(frozen=True)
class Interventions:
    """Attributes with a sprite, and the effects that the graph predicts.

    ``payload`` is what the script reads: ``values``, ``names``, ``predicted`` (row i: the change of
    every attribute when i goes from absent to present), ``truth`` or ``None``, and ``sprites`` by
    name, each with its size in ``columns`` and ``rows``, a ``graph`` and perhaps an ``alone`` URI.
    ``unseen`` are the attributes that no latent carries: no picture shows how they move.
    """

    names: list[str]
    unseen: list[str]
    first: str
    num_faces: int
    has_truth: bool
    payload: dict[str, Any]


def read_interventions(sources: Sources) -> Interventions | None:
    """The sprites and effects, or ``None`` where the run has no intervention to show.

    Raises ValueError where the effects are not one row and one column for each name.
    """
    found = sources.json("evaluation", "evaluation.json").get("interventions")
    if not found:
        return None
    values = [finite(value) for value in found.get("values") or []]
    columns = len(values) or NUM_COLUMNS
    sprites = {
        name: sprite for name in found["names"] if (sprite := _sprite(sources, name, columns))
    }
    if not sprites:
        return None
    predicted, truth = (_effects(found, key) for key in ("predicted", "truth"))
    rows = {row: found["names"].index(row) for row in sprites}
    first = max(
        sprites,
        key=lambda name: sum(abs(x or 0) for x in predicted[rows[name]]) if predicted else 0.0,
    )
    payload = {
        "names": found["names"],
        "values": values,
        "predicted": predicted,
        "truth": truth,
        "sprites": sprites,
        "first": first,
    }
    num_faces = min(int(sprite["rows"]) for sprite in sprites.values())
    unseen = [name for name in found["names"] if name not in sprites]
    return Interventions(list(sprites), unseen, first, num_faces, truth is not None, payload)


def _effects(found: dict[str, Any], key: str) -> Matrix | None:
    """Effects in the order of ``found["names"]``; read in another order, they would be wrong."""
    effects, size = matrix(found.get(key)), len(found["names"])
    if effects is not None and (len(effects), len(effects[0])) != (size, size):
        raise ValueError(
            f"evaluation.json: interventions.{key} is {len(effects)} x {len(effects[0])} "
            f"for {size} names"
        )
    return effects


def _sprite(sources: Sources, name: str, columns: int) -> dict[str, Any] | None:
    """Both sprites of an attribute: rows are faces, columns values, frames square, no gaps."""
    path = sources.file("evaluation", f"interventions/{slug(name)}.png")
    if path is None:
        return None
    picture = embed(path)
    alone = sources.file("evaluation", f"interventions/{slug(name)}-alone.png")
    return {
        "columns": columns,
        "rows": _num_rows(picture, columns),
        "graph": picture.uri,
        "alone": embed(alone).uri if alone else None,
    }


def _num_rows(picture: Picture, columns: int) -> int:
    return max(1, round(picture.height * columns / picture.width))
