"""A driver to be killed: it streams the run ``demo``'s dataset and writes down the rows.

    python -m tests.faults.stream_driver STORAGE S3_SETTINGS FOLDER NUM_IMAGES

FOLDER is where the engine writes what it answers, and where the rows go.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gdrl.artifacts import Run, Storage, open_store
from gdrl.config import MLLMRecipe, MLLMScale, S3Settings, StreamScale
from gdrl.distributed.serve import serving
from gdrl.distributed.stream import score_stream

uri, s3, folder, num_images = sys.argv[1:]
storage = Storage(uri, S3Settings.model_validate_json(s3))
dataset = Run(open_store(storage), "demo").source("dataset")
engine = "tests.distributed.engines:Slow"
with serving(MLLMRecipe(model=folder), MLLMScale(batch_size=4), open_engine=engine) as mllm:
    scale = StreamScale(images_per_part=32, max_in_flight=8)
    ids = range(int(num_images))
    blocks = score_stream(dataset, ids, ("hat", "smile"), mllm, scale, storage)
    pq.write_table(pa.concat_tables(blocks), Path(folder) / "rows.parquet")
