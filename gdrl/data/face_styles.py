"""The drawing styles of the world ``faces``, as data: variants, places and sizes.

Every number is in the style's own canvas units; ``unit`` is about one pixel of a 64-pixel image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Anchors:
    """Where the parts go that DiceBear's styles lack."""

    eyes: tuple[Point, Point]
    lens: float
    ears: tuple[Point, Point]
    brim: Point
    brim_half: float
    neck: Point
    unit: float


@dataclass(frozen=True)
class FaceStyle:
    """One drawing style."""

    name: str
    dicebear: str
    """Name of the DiceBear style that is redrawn."""
    view: tuple[float, float, float]
    """Left, top and side of the square window that is rasterised."""
    layout: tuple[tuple[str, str], ...]
    """(component, transform) in drawing order."""
    anchors: Anchors
    hair: tuple[str, ...]
    clothes: tuple[str, ...]
    variants: Mapping[str, tuple[str, str, str]]
    """Attribute -> (component, variant if off, variant if on); an empty variant draws nothing."""
    fixed: Mapping[str, str]
    optional: tuple[str, ...]
    """Components that DiceBear may leave out."""
    colors: Mapping[str, str]
    """DiceBear colour slot -> skin, hair, clothes."""
    long_hair: str
    """SVG drawn behind everything; ``{fill}`` is the hair colour."""


def _scaled(origin: Point, centre: Point, scale: float) -> str:
    """Transform that puts a component at ``origin`` and scales it about ``centre`` (its units)."""
    x = origin[0] + centre[0] * (1 - scale)
    y = origin[1] + centre[1] * (1 - scale)
    return f"translate({x:.2f} {y:.2f}) scale({scale})"


TOON = FaceStyle(
    name="toon",
    dicebear="toon-head",
    view=(54.0, 62.0, 660.0),
    layout=(
        ("body", "translate(124 556)"),
        ("head", "translate(186.52 139.5)"),
        ("clothes", "translate(107.32 587.5)"),
        ("beard", "translate(223.48 402.09)"),
        ("mouth", _scaled((326.0, 487.0), (58.0, 26.0), 1.6)),
        ("eyes", _scaled((253.0, 367.0), (130.6, 37.0), 1.15)),
        ("eyebrows", "translate(265.82 287.36)"),
        ("hair", "translate(158.16)"),
    ),
    anchors=Anchors(
        eyes=((305.0, 408.0), (463.0, 408.0)),
        lens=66.0,
        ears=((192.0, 474.0), (576.0, 474.0)),
        brim=(384.0, 205.0),
        brim_half=205.0,
        neck=(384.0, 652.0),
        unit=10.3,
    ),
    hair=("sideComed", "undercut"),
    clothes=("tShirt", "turtleNeck"),
    variants={
        "beard": ("beard", "", "fullBeard"),
        "smiling": ("mouth", "sad", "laugh"),
        "closed eyes": ("eyes", "wide", "humble"),
    },
    fixed={"body": "body", "head": "head", "eyebrows": "neutral"},
    optional=("beard", "hair"),
    colors={"skin": "skin", "hair": "hair", "clothes": "clothes"},
    long_hair=(
        '<path d="M384 150C150 150 150 380 150 480L104 770H664L618 480C618 380 618 150 384 150Z"'
        ' fill="{fill}"/>'
    ),
)

PERSONAS = FaceStyle(
    name="personas",
    dicebear="personas",
    view=(6.0, 4.5, 53.0),
    layout=(
        ("hair", "translate(9.5 4.5)"),
        ("clothes", "translate(11 46.2)"),
        ("nose", "translate(25 32.25)"),
        ("facialHair", "translate(18 28.7)"),
        ("mouth", _scaled((27.0, 37.46), (5.0, 2.0), 1.3)),
        ("eyes", _scaled((20.0, 24.0), (12.0, 4.5), 1.3)),
    ),
    anchors=Anchors(
        eyes=((24.2, 28.5), (39.8, 28.5)),
        lens=5.2,
        ears=((16.2, 38.8), (47.8, 38.8)),
        brim=(32.0, 17.0),
        brim_half=15.0,
        neck=(32.0, 51.6),
        unit=0.9,
    ),
    hair=("shortCombover", "fade"),
    clothes=("squared", "rounded"),
    variants={
        "beard": ("facialHair", "", "beardMustache"),
        "smiling": ("mouth", "frown", "bigSmile"),
        "closed eyes": ("eyes", "open", "sleep"),
    },
    fixed={"nose": "smallRound"},
    optional=("facialHair",),
    colors={"skin": "skin", "hair": "hair", "facialHair": "hair", "clothing": "clothes"},
    long_hair=(
        '<path d="M32 12C14 12 14 26 14 32L11 56H53L50 32C50 26 50 12 32 12Z" fill="{fill}"/>'
    ),
)

FACE_STYLES: Mapping[str, FaceStyle] = {style.name: style for style in (TOON, PERSONAS)}
