"""The parts of a face that DiceBear's styles lack or tie to others, as SVG text from anchors.

They are drawn on top in the order of ``PARTS``.
"""

from collections.abc import Callable, Mapping

from gdrl.data.face_styles import Anchors


def _hat(at: Anchors) -> str:
    x, y = at.brim
    half, u = at.brim_half, at.unit
    crown, height = 0.76 * half, 12 * u
    return (
        f'<path d="M{x - crown} {y}L{x - 0.9 * crown} {y - height}'
        f'Q{x} {y - height - 2.5 * u} {x + 0.9 * crown} {y - height}L{x + crown} {y}Z"'
        f' fill="#6a3fa0"/>'
        f'<path d="M{x - crown} {y}l{0.02 * crown} {-3 * u}h{1.96 * crown}l{0.02 * crown} {3 * u}Z"'
        f' fill="#e8d44d"/>'
        f'<rect x="{x - half}" y="{y - u}" width="{2 * half}" height="{3 * u}" rx="{1.5 * u}"'
        f' fill="#55308a"/>'
    )


def _glasses(at: Anchors) -> str:
    (left, y), (right, _) = at.eyes
    stroke = f'stroke="#141414" stroke-width="{1.5 * at.unit}" fill="#ffffff" fill-opacity="0.18"'
    lenses = "".join(f'<circle cx="{x}" cy="{y}" r="{at.lens}" {stroke}/>' for x in (left, right))
    (ear_left, _), (ear_right, _) = at.ears
    arms = (
        f'<path d="M{left + at.lens} {y}H{right - at.lens}M{left - at.lens} {y}H{ear_left}'
        f'M{right + at.lens} {y}H{ear_right}" stroke="#141414" stroke-width="{1.5 * at.unit}"/>'
    )
    return lenses + arms


def _earrings(at: Anchors) -> str:
    return "".join(
        f'<circle cx="{x}" cy="{y}" r="{3.1 * at.unit}" fill="#19e0d0" stroke="#0b4f66"'
        f' stroke-width="{0.8 * at.unit}"/>'
        for x, y in at.ears
    )


def _bow_tie(at: Anchors) -> str:
    (x, y), u = at.neck, at.unit
    wings = f"M{x} {y}l{-8.5 * u} {-4.6 * u}v{9.2 * u}ZM{x} {y}l{8.5 * u} {-4.6 * u}v{9.2 * u}Z"
    return (
        f'<path d="{wings}" fill="#ffffff" stroke="#222222" stroke-width="{0.7 * u}"'
        f' stroke-linejoin="round"/><circle cx="{x}" cy="{y}" r="{2.0 * u}" fill="#222222"/>'
    )


PARTS: Mapping[str, Callable[[Anchors], str]] = {
    "earrings": _earrings,
    "bow tie": _bow_tie,
    "glasses": _glasses,
    "hat": _hat,
}
