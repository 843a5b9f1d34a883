"""One rank of a gloo group: the running covariance after its share of eight images."""

import json
import sys

import torch
from torch import distributed

from gdrl.config import DisGraphRecipe
from gdrl.models.graph_vae import GraphVae
from gdrl.training.annotations import assign_in_order
from gdrl.training.joint import Batch, JointObjective, draw_view

LATENT_DIM = 3


def main(rank: int, world_size: int, store: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(store, world_size), rank=rank, world_size=world_size
    )
    torch.manual_seed(0)
    zeros = torch.zeros(LATENT_DIM, LATENT_DIM)
    objective = JointObjective(
        GraphVae(LATENT_DIM, 1),
        DisGraphRecipe(intervention_weight=0.0, contrastive_weight=0.0),
        assign_in_order(("red", "left"), LATENT_DIM),
        zeros,
        zeros,
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 3, 64, 64, generator=generator)[rank::world_size]
    nothing = torch.zeros(len(images), LATENT_DIM)
    objective(
        Batch(
            images=images,
            noise=nothing,
            prior_codes=nothing,
            scores=torch.ones(len(images), 2),
            certainty=torch.ones(len(images), 2),
            views=(draw_view(LATENT_DIM, generator), draw_view(LATENT_DIM, generator)),
            swapped=torch.zeros(1, LATENT_DIM, dtype=torch.bool),
            opening=1.0,
        )
    )
    print(json.dumps(objective.covariance.ravel().tolist()))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
