"""The rows of each table of benchmarks/gem.py, as overrides of two recipes; how to print them."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Record = dict[str, Any]
WORLDS = ("faces", "faces_reversed", "shapes3d_like")


@dataclass(frozen=True)
class Variant:
    """One row: what differs from the recipe it starts from. Sections hold overrides."""

    name: str
    paper: bool = False
    """Whether the base is gem_paper.toml; else gem.toml."""
    joint: bool = True
    """Whether there is a joint stage; else the row is the VAE's."""
    extractor: str = "beta_vae"
    vae: Mapping[str, Any] = field(default_factory=dict)
    graph: Mapping[str, Any] = field(default_factory=dict)
    disgraph: Mapping[str, Any] = field(default_factory=dict)
    matching: Mapping[str, Any] = field(default_factory=dict)
    num_scored: int | None = None
    """None takes --scored."""
    flipped: float = 0.0
    """Share of the answers whose level is turned round (5 - level)."""


def _vae(objective: str, beta: float) -> Variant:
    return Variant(objective, joint=False, vae={"objective": objective, "beta": beta})


# No alignment, and so no scored images in the joint stage: the graph alone is the MLLM's.
ALONE = {"alignment_weight": 0.0, "scored_per_batch": 0}
GUIDED = Variant("gem_guided")
UNSUPERVISED = Variant("gem_unsupervised", disgraph=ALONE)
PAPER = Variant("gem_paper", paper=True)
# Nothing is matched, so the graph has no edge and is held so: a beta-VAE trained on, which has all
# of GEM's stages and learning rates and nothing else of it.
NO_GRAPH = Variant(
    "no_graph",
    matching={"threshold": 1.0},
    disgraph={
        **ALONE,
        "num_layers": 0,
        "learn_edges": False,
        "prior_weight": 0.0,
        "contrastive_weight": 0.0,
    },
)

MAIN = (
    _vae("vae", 1.0),
    _vae("beta_vae", 4.0),
    _vae("beta_tcvae", 6.0),
    _vae("factor_vae", 10.0),
    NO_GRAPH,
    PAPER,
    UNSUPERVISED,
    GUIDED,
)

# One thing less or other each: of the unsupervised row, where no score stands in for what is left
# out, of the guided one where latents are counted, and of the paper's.
ABLATIONS = (
    GUIDED,
    UNSUPERVISED,
    replace(UNSUPERVISED, name="no_beta", vae={"beta": 1.0}, disgraph={**ALONE, "beta": 1.0}),
    replace(UNSUPERVISED, name="no_gnn", disgraph={**ALONE, "num_layers": 0}),
    replace(UNSUPERVISED, name="no_prior", disgraph={**ALONE, "prior_weight": 0.0}),
    replace(
        UNSUPERVISED,
        name="frozen_graph",
        disgraph={**ALONE, "learn_edges": False, "prior_weight": 0.0, "contrastive_weight": 0.0},
    ),
    NO_GRAPH,
    replace(UNSUPERVISED, name="no_contrast", disgraph={**ALONE, "contrastive_weight": 0.0}),
    replace(
        UNSUPERVISED,
        name="one_stage",
        disgraph={**ALONE, "warm_start": False, "schedule": (0, 1), "learning_rate": 3e-3},
    ),
    replace(
        UNSUPERVISED,
        name="adversarial_too",
        disgraph={**ALONE, "adversarial_weight": 0.8, "joint_kl_weight": 0.6},
    ),
    replace(UNSUPERVISED, name="unsigned", graph={"signed": False}),
    replace(UNSUPERVISED, name="somers_d", graph={"measure": "somers_d"}),
    *(
        replace(GUIDED, name=f"latents_{number}", vae={"latent_dim": number})
        for number in (6, 10, 16)
    ),
    PAPER,
    replace(
        PAPER,
        name="paper_no_adversarial",
        disgraph={"adversarial_weight": 0.0, "joint_kl_weight": 0.0, "reconstruction_weight": 10.0},
    ),
    replace(PAPER, name="paper_with_pixels", disgraph={"reconstruction_weight": 10.0}),
)

SCORED = (
    replace(UNSUPERVISED, name="unaligned"),
    *(
        replace(GUIDED, name=f"scored_{number}", num_scored=number)
        for number in (50, 150, 500, 1_500, 5_000)
    ),
)
NOISE = tuple(
    replace(GUIDED, name=f"flipped_{percent}", flipped=percent / 100)
    for percent in (0, 10, 20, 30, 40, 50)
)
INTERVENTIONS = (GUIDED, UNSUPERVISED, PAPER)
ICA = Variant("ica", joint=False, extractor="contrastive_ica")
EXTRACTORS = (
    _vae("beta_vae", 4.0),
    ICA,
    UNSUPERVISED,
    replace(UNSUPERVISED, name="ica_unsupervised", extractor="contrastive_ica"),
    GUIDED,
    replace(GUIDED, name="ica_guided", extractor="contrastive_ica"),
)
"""Either system's factors: before the graph, behind it, and aligned to the scores."""
COMPONENTS = Variant("components")
"""One run gives all rows of its table: one pair of encoders, unmixed by each method."""
PROBES = Variant("probes")
"""One run gives all rows: probes of that pair's features, unmixed or not."""
SHOTS = (1, 2, 4, 8, 16)
GRAPH = Variant("graph")
"""One run gives all rows of the graph table: the controls need no training."""

TABLES: dict[str, tuple[Variant, ...]] = {
    "main": MAIN,
    "graph": (GRAPH,),
    "ablations": ABLATIONS,
    "scored": SCORED,
    "noise": NOISE,
    "interventions": INTERVENTIONS,
    "components": (COMPONENTS,),
    "probes": (PROBES,),
    "extractors": EXTRACTORS,
}
MODELS = ("main", "ablations", "scored", "noise", "extractors")
"""Tables that measure a model the same way: a row of one name is one model in all of them."""
TABLE_WORLDS = {
    "main": ("faces", "shapes3d_like"),
    "graph": WORLDS,
    "ablations": ("faces",),
    "scored": ("faces",),
    "noise": ("faces",),
    "interventions": ("faces", "faces_reversed"),
    "components": ("faces", "shapes3d_like"),
    "probes": ("faces",),
    "extractors": ("faces",),
}

REPRESENTATION = (
    "mig",
    "dci_d",
    "factor_vae_score",
    "info_m",
    "info_e",
    "info_c",
    "pair_tied",
    "others_tied",
    "matched_95",
    "mse",
    "mse_in_world",
    "fd_efflite0",
)
RELATIONS = ("edge_auroc", "sign", "direction", "weight_error", "coverage")
COST = ("parameters", "cpu_seconds", "peak_mb")
COLUMNS: dict[str, tuple[str, ...]] = {
    "main": (*REPRESENTATION, *COST),
    "graph": RELATIONS,
    "ablations": (*REPRESENTATION, *(f"refined_{name}" for name in RELATIONS[:4])),
    "scored": (*REPRESENTATION, *RELATIONS, *(f"refined_{name}" for name in RELATIONS[:4])),
    "noise": (*REPRESENTATION, *RELATIONS, *(f"refined_{name}" for name in RELATIONS[:4])),
    "interventions": (
        "agreement",
        "error",
        "spillover",
        "own_effect",
        "leakage",
        "largest_leak",
        "shown",
        "follows_graph",
        "null_agreement",
    ),
    "components": (
        "components",
        "mcc",
        "mig",
        "dci_d",
        "info_m",
        "info_e",
        "info_c",
        "matched_95",
        "stability",
    ),
    "probes": tuple(f"shots_{number}" for number in SHOTS),
    "extractors": (*REPRESENTATION, *(f"refined_{name}" for name in RELATIONS[:4]), *COST),
}


def print_tables(records: Iterable[Record], tables: Sequence[str]) -> None:
    """Markdown, mean ± sd over seeds of what is there."""
    rows = list(records)
    for table in tables:
        of_table = [record for record in rows if record["table"] == table]
        if of_table:
            print(f"\n### {table}\n")
            _print(of_table, COLUMNS[table])


def _print(records: Sequence[Record], columns: Sequence[str]) -> None:
    groups: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for record in records:
        for variant, scores in record["rows"].items():
            groups.setdefault((record["world"], variant), []).append(scores)
    used = [c for c in columns if any(c in s for group in groups.values() for s in group)]
    head = ("world", "variant", *used, "seeds")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for (world, variant), group in groups.items():
        cells = [_cell([scores[c] for scores in group if scores.get(c) is not None]) for c in used]
        print(f"| {' | '.join([world, variant, *cells, str(len(group))])} |")


def _cell(values: Sequence[float]) -> str:
    """Mean ± sd, to four digits of the mean's size; a dash where nothing was measured."""
    if not values:
        return "–"
    mean = statistics.fmean(values)
    digits = 0 if abs(mean) >= 100 else 2 if abs(mean) >= 10 else 4 if abs(mean) < 0.1 else 3
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"
