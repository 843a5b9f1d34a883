"""Numbers from arrays: is the code disentangled, the picture kept, the graph right.

Codes are (image, latent), factors (image, factor), adjacency matrices (attribute, attribute) with
``[i, j]`` the weight of i -> j. Each docstring names formula, source and the pitfall that bites.
Start with ``print(evaluate(codes, factors))``, or ``python -m gdrl.evaluation --help``.
"""

from gdrl.evaluation.attributes import Tad, attribute_auroc, tad
from gdrl.evaluation.calibration import (
    Calibration,
    InterventionConsistency,
    interval_calibration,
    intervention_consistency,
)
from gdrl.evaluation.efflite0 import efflite0_features
from gdrl.evaluation.frechet import fd_efflite0, frechet_distance, kernel_distance
from gdrl.evaluation.importance import Dci, PairEntanglement, dci, pair_entanglement
from gdrl.evaluation.infomec import InfoMec, infomec
from gdrl.evaluation.information import mig, modularity
from gdrl.evaluation.mounted import fid, kid, lpips
from gdrl.evaluation.prediction import explicitness, sap
from gdrl.evaluation.reconstruction import mse, psnr, ssim
from gdrl.evaluation.recovery import mcc, r2
from gdrl.evaluation.relations import (
    direction_accuracy,
    edge_auroc,
    edge_average_precision,
    interval_coverage,
    sign_accuracy,
    structural_hamming_distance,
    weight_error,
)
from gdrl.evaluation.report import Report, evaluate
from gdrl.evaluation.sampling import beta_vae_score, factor_vae_score

__all__ = [
    "Calibration",
    "Dci",
    "InfoMec",
    "InterventionConsistency",
    "PairEntanglement",
    "Report",
    "Tad",
    "attribute_auroc",
    "beta_vae_score",
    "dci",
    "direction_accuracy",
    "edge_auroc",
    "edge_average_precision",
    "efflite0_features",
    "evaluate",
    "explicitness",
    "factor_vae_score",
    "fd_efflite0",
    "fid",
    "frechet_distance",
    "infomec",
    "interval_calibration",
    "interval_coverage",
    "intervention_consistency",
    "kernel_distance",
    "kid",
    "lpips",
    "mcc",
    "mig",
    "modularity",
    "mse",
    "pair_entanglement",
    "psnr",
    "r2",
    "sap",
    "sign_accuracy",
    "ssim",
    "structural_hamming_distance",
    "tad",
    "weight_error",
]
