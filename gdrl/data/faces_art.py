"""How a face is drawn: DiceBear art, one part per attribute, and a few parts of our own.

Each attribute owns its part of the drawing, so that switching it changes those pixels and next to
nothing else. What DiceBear ties together is untied here: long hair is a part behind the head, not
another haircut, and hat, glasses, earrings and bow tie are drawn on top, in the style's own
coordinates, from a handful of anchors. Eyes and mouths are enlarged about their centre: at 64
pixels the originals are 3 to 7 pixels wide.
"""

import colorsys
import copy
import io
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import resvg_py
from dicebear import Avatar, Style
from jaxtyping import UInt8
from PIL import Image

from gdrl.data.face_parts import PARTS
from gdrl.data.face_styles import FACE_STYLES, FaceStyle
from gdrl.errors import DataError

NUISANCES = ("hair", "clothes", "skin", "hair tone", "hue", "tint", "shift_x", "shift_y")
"""What varies without a name: uniform numbers in [0, 1), in this order whatever the factors."""
MAX_SHIFT = 0.75 / 64
"""Largest shift of the window, as a share of its side: three quarters of a pixel at 64 pixels."""

_PAINTED = {
    "background": "dark background",
    "skin": "dark skin",
    "hair": "blond hair",
    "clothes": "red shirt",
}
_PLACEHOLDERS = {"skin": "#010101", "hair": "#020202", "clothes": "#030303"}

Factors = Mapping[str, bool]


def draw(
    factors: Factors, nuisance: Mapping[str, float], style: str, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw one face.

    Args:
        factors: attribute name -> on or off; every attribute of the world.
        nuisance: one number in [0, 1) for each of ``NUISANCES``.
        style: a key of ``FACE_STYLES``.
        size: side of the image in pixels.

    Raises:
        DataError: no such style.
    """
    if style not in FACE_STYLES:
        raise DataError(f"no face style {style!r}; choose one of {sorted(FACE_STYLES)}")
    svg, background = _svg(FACE_STYLES[style], factors, nuisance)
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=size, height=size, background=background, skip_system_fonts=True
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGB"))


def attribution(style: str) -> str:
    """The credit line that the licence of a style asks for."""
    terms = _definition(FACE_STYLES[style].dicebear)["meta"]["license"]["text"]
    return (
        f"{terms}; changed: eyes and mouth enlarged, outlines removed; hair, hat, glasses, "
        "earrings and bow tie added. Drawn with DiceBear (https://www.dicebear.com)"
    )


def _svg(style: FaceStyle, factors: Factors, nuisance: Mapping[str, float]) -> tuple[str, str]:
    """The drawing as SVG text, and the background colour."""
    colors = _palette(factors, nuisance)
    drawing = _dicebear_drawing(style.name, _variants(style, factors, nuisance))
    for name, placeholder in _PLACEHOLDERS.items():
        drawing = drawing.replace(placeholder, colors[name])
    behind = style.long_hair.format(fill=colors["hair"]) if factors["long hair"] else ""
    on_top = "".join(part(style.anchors) for name, part in PARTS.items() if factors[name])
    left, top, side = style.view
    left += side * MAX_SHIFT * (2 * nuisance["shift_x"] - 1)
    top += side * MAX_SHIFT * (2 * nuisance["shift_y"] - 1)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.3f} {top:.3f} {side} {side}"'
        f' fill="none">{behind}{drawing}{on_top}</svg>'
    )
    return svg, colors["background"]


def _variants(
    style: FaceStyle, factors: Factors, nuisance: Mapping[str, float]
) -> tuple[tuple[str, str], ...]:
    """(component, variant) for every DiceBear component; an empty variant draws nothing."""
    choice = {
        **style.fixed,
        "hair": _pick(style.hair, nuisance["hair"]),
        "clothes": _pick(style.clothes, nuisance["clothes"]),
    }
    for attribute, (component, off, on) in style.variants.items():
        choice[component] = on if factors[attribute] else off
    return tuple(choice.items())


@cache
def _dicebear_drawing(style_name: str, variants: tuple[tuple[str, str], ...]) -> str:
    """What DiceBear draws, colours still to be filled in: its elements without the outer tag.

    Cached (32 drawings a style): asking DiceBear anew costs 2 ms an image, as much as rasterising.
    """
    style = FACE_STYLES[style_name]
    options: dict[str, object] = {"seed": "face", "idRandomization": False}
    for component, variant in variants:
        if variant:
            options[f"{component}Variant"] = variant
        if component in style.optional:
            options[f"{component}Probability"] = 100 if variant else 0
    for slot, name in style.colors.items():
        options[f"{slot}Color"] = [_PLACEHOLDERS[name]]
    svg = Avatar(_dicebear_style(style_name), options).to_string()
    return svg.split("</metadata>", 1)[1].removesuffix("</svg>")


def _palette(factors: Factors, nuisance: Mapping[str, float]) -> dict[str, str]:
    """Background, skin, hair and clothes colours: far apart between off and on, near within."""
    hue, tint = nuisance["hue"], nuisance["tint"]
    skin, hair = 0.08 * nuisance["skin"], 0.08 * nuisance["hair tone"]
    off = {
        "background": (hue, 0.13, 0.96),
        "skin": (0.06, 0.30, 0.90 + skin),
        "hair": (0.05, 0.60, 0.13 + hair),
        "clothes": (0.42 + 0.18 * tint, 0.62, 0.62),
    }
    on = {
        "background": (0.60 + 0.12 * hue, 0.62, 0.34),
        "skin": (0.055, 0.52, 0.54 + skin),
        "hair": (0.125, 0.74, 0.84 + hair),
        "clothes": (0.995, 0.82, 0.80 + 0.1 * tint),
    }
    return {
        part: _hex(*(on if factors[attribute] else off)[part])
        for part, attribute in _PAINTED.items()
    }


def _hex(hue: float, saturation: float, value: float) -> str:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _pick(options: tuple[str, ...], uniform: float) -> str:
    return options[int(uniform * len(options))]


@cache
def _definition(dicebear: str) -> Any:
    """The style's JSON definition, as DiceBear ships it."""
    return json.loads(files("dicebear_styles").joinpath(f"{dicebear}.json").read_text("utf-8"))


@cache
def _dicebear_style(name: str) -> Style:
    """The DiceBear style, simplified, with its components placed and ordered as ``layout`` says."""
    style = FACE_STYLES[name]
    definition = copy.deepcopy(_definition(style.dicebear))
    canvas = definition["canvas"]
    ground = [element for element in canvas["elements"] if element["type"] != "component"]
    canvas["elements"] = _simplified(ground) + [
        {"name": component, "type": "component", "attributes": {"transform": transform}}
        for component, transform in style.layout
    ]
    for component in definition["components"].values():
        for variant in component["variants"].values():
            variant["elements"] = _simplified(variant["elements"])
    return Style(definition)


def _simplified(elements: list[Any]) -> list[Any]:
    """Elements without outlines and blended highlights.

    Outlines are a tenth of a pixel wide at 64 pixels and take a third of the time; highlights that
    blend with the skin turn a dark skin grey.
    """
    kept = []
    for element in elements:
        attributes = element.get("attributes", {})
        if "mix-blend-mode" in attributes.get("style", "") and attributes.get("fill") == "white":
            continue
        attributes.pop("stroke", None)
        if "children" in element:
            element["children"] = _simplified(element["children"])
            if not element["children"]:
                continue
        kept.append(element)
    return kept
