from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gdrl.data.scores import read_scores


def test_rows_by_image_columns_as_asked_and_nan_where_unanswered(tmp_path: Path) -> None:
    rows = {
        "id": [7, 7, 3, 3],
        "attribute": ["hat", "beard", "hat", "beard"],
        "expectation": [5.0, 1.0, None, 2.5],
    }
    pq.write_table(pa.table(rows), tmp_path / "scores.parquet")
    scores = read_scores(tmp_path)
    assert scores.ids.tolist() == [3, 7]
    assert scores.attributes == ("hat", "beard")
    np.testing.assert_equal(scores.levels, [[np.nan, 0.5], [1.0, 0.2]])


def test_argmax_reads_the_likeliest_level(tmp_path: Path) -> None:
    rows = {
        "id": [1, 2, 3],
        "attribute": ["hat"] * 3,
        "probabilities": [[0, 0, 0, 0, 0.6, 0.4], None, [0.4, 0, 0, 0, 0.3, 0.3]],
        "expectation": [4.4, None, 2.7],
    }
    pq.write_table(pa.table(rows), tmp_path / "scores.parquet")
    levels = read_scores(tmp_path, "argmax").levels
    np.testing.assert_allclose(levels, [[0.8], [np.nan], [0.0]])
