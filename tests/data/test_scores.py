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
