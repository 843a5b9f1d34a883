"""The stage reads what the recipe names, the way that ``[s3]`` says, on the cluster."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seaweed import Seaweed

from gdrl.artifacts import Artifact, Inputs, Storage
from gdrl.artifacts.s3_client import client
from gdrl.config import ClusterScale, RunConfig
from gdrl.data import source
from gdrl.data.table import load_images
from gdrl.distributed.session import connect, disconnect
from gdrl.stages import prepare_data

NUM = 60


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), shade, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_prefix_becomes_a_data_set(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "CHUNK", 10)  # six chunks: too many to be read here
    bucket = seaweed.bucket()
    for number in range(NUM):
        body = b"no image" if number == 5 else png(4 * number)
        client(seaweed.s3).put_object(Bucket=bucket, Key=f"photos/{number:03d}.png", Body=body)
    dataset = {"source": f"s3://{bucket}/photos"}
    config = RunConfig.model_validate(
        {"s3": seaweed.s3, "recipe": {"dataset": dataset, "attributes": ["smiling"]}}
    )
    out = Artifact("dataset", tmp_path, Storage(str(tmp_path)))
    disconnect()  # from a cluster that another test began without the credentials
    connect(ClusterScale(num_cpus=4))
    try:
        metrics = prepare_data.run(config, Inputs({}, {}, {}), out)
    finally:
        disconnect()
    assert metrics == {"num_images": NUM - 1, "num_test": 9, "num_quarantined": 1}
    shades = load_images(tmp_path).pixels[:, 5, 5, 0].tolist()
    assert shades == [4 * number for number in range(NUM) if number != 5]
