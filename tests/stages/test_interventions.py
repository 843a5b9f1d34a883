"""From a model to the page: whose sprite is shown under which name."""

import json
from pathlib import Path

import numpy as np
import torch

from gdrl.data.pictures import save_grid
from gdrl.graph import CorrelationGraph
from gdrl.models.factor_model import Factor, FactorModel
from gdrl.models.graph_vae import GraphVae
from gdrl.models.representation import Representation
from gdrl.report.figures.pictures import embed
from gdrl.report.interventions import read_interventions
from gdrl.report.sources import Sources
from gdrl.stages.interventions import draw_interventions

NAMES = ("ひげ", "帽子", "dark hair", "dark-hair", "Dark hair", "hat", "hat alone")


def model_of(names: tuple[str, ...]) -> FactorModel:
    torch.manual_seed(0)
    size = len(names)
    factors = [Factor(i, name, 0.9, 1, -2.0 - i, 2.0 + i) for i, name in enumerate(names)]
    weights = 0.5 * (1 - np.eye(size))
    graph = CorrelationGraph(names, weights, weights, weights, weights, "spearman", 0.9, True)
    return FactorModel(Representation(GraphVae(size, num_layers=1)), factors, graph)


def test_each_name_comes_with_its_own_pictures(tmp_path: Path) -> None:
    model = model_of(NAMES)
    faces = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    draw_interventions(tmp_path / "interventions", model, faces)
    (tmp_path / "evaluation.json").write_text(json.dumps({"interventions": {"names": NAMES}}))
    shown = read_interventions(Sources({"evaluation": tmp_path}, {}))
    assert shown is not None
    assert shown.names == list(NAMES)
    for name, sprite in shown.payload["sprites"].items():
        for key, propagate in (("graph", True), ("alone", False)):
            save_grid(tmp_path / "own.png", model.traverse(name, faces, 9, propagate=propagate))
            assert sprite[key] == embed(tmp_path / "own.png").uri, (name, key)
    uris = [sprite[key] for sprite in shown.payload["sprites"].values() for key in sprite]
    assert len({uri for uri in uris if isinstance(uri, str)}) == 2 * len(NAMES)
