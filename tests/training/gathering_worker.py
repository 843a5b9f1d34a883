"""One rank of a gloo group: the loss of its share of eight pairs, and the gradient it computes."""

import json
import sys

import torch
from torch import distributed

from gdrl.training.info_nce import cosine_distance, l1_distance, symmetric_info_nce


def main(rank: int, world_size: int, store: str, name: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(store, world_size), rank=rank, world_size=world_size
    )
    pairs = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))
    encoder = torch.full((4, 3), 0.5) + torch.eye(4)[:, :3]
    encoder.requires_grad_()
    codes = (pairs[:, rank::world_size] @ encoder).unbind()
    if name == "cosine":
        codes = tuple(torch.nn.functional.normalize(rows, dim=1) for rows in codes)
    distance = cosine_distance if name == "cosine" else l1_distance
    loss = symmetric_info_nce(*codes, distance, temperature=0.5)
    loss.backward()
    print(json.dumps({"loss": loss.item(), "gradient": encoder.grad.ravel().tolist()}))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
