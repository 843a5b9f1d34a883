"""Linear unmixing of features: FastICA, and the rotations that it must beat.

Every method is one affine map: centre, whiten onto the strongest principal directions, rotate.
They differ in the rotation alone, so their scores say what that rotation is worth.
"""

from gdrl.unmixing.unmixing import Unmixing, fit_unmixing, stability

__all__ = ["Unmixing", "fit_unmixing", "stability"]
