"""``python -m gdrl.evaluation codes.parquet factors.parquet``: the metrics of anyone's model.

One row per image in both files, in the same order; every column a latent, or a factor. A column
``id`` in both is checked to be the same and is neither. Latents are numbers; a factor may be text,
whose values are classes and never binned.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdrl.errors import DataError, GdrlError
from gdrl.evaluation.importance import FAST_VALUES
from gdrl.evaluation.report import evaluate
from gdrl.evaluation.rows import MAX_VALUES, most_classes

_ID = "id"
_PANDAS_INDEX = "__index_level_0__"
_PREFIX = "factor:"  # how gdrl's own datasets mark their factor columns


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; 0, or 1 with a message where a person can do something."""
    options = _parser().parse_args(argv)
    try:
        codes = _read(options.codes, max_texts=0)
        factors = _read(options.factors, max_texts=FAST_VALUES if options.fast else MAX_VALUES)
        _check_rows(options.codes, codes, options.factors, factors)
        names = [name.removeprefix(_PREFIX) for name in factors if name != _ID]
        report = evaluate(
            _stack(options.codes, codes),
            _stack(options.factors, factors),
            names=names,
            pair=options.pair and tuple(options.pair),
            fast=options.fast,
            seed=options.seed,
        )
    except GdrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report.to_dict(), indent=2) if options.json else report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gdrl.evaluation",
        description="Disentanglement metrics of codes against known factors, one row per image.",
    )
    parser.add_argument("codes", type=Path, help="parquet, one numeric column per latent")
    parser.add_argument("factors", type=Path, help="parquet, one column per factor")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--fast", action="store_true", help="fewer images and rounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pair", nargs=2, metavar="FACTOR", help="report their entanglement")
    return parser


def _read(path: Path, *, max_texts: int) -> dict[str, Any]:
    """Columns by name. Text of at most ``max_texts`` values becomes its rank among them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from error
    if len(set(table.column_names)) != table.num_columns:
        raise DataError(f"{path} has two columns of one name")
    if _PANDAS_INDEX in table.column_names:
        raise DataError(f"{path} holds a data frame's index: write it with index=False")
    return {name: _column(path, name, table.column(name), max_texts) for name in table.column_names}


def _column(path: Path, name: str, column: Any, max_texts: int) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):  # a data frame's categories
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise DataError(f"{path}: column {name!r} has {column.null_count} missing values")
    values = column.to_numpy()
    if name == _ID:
        return values
    if max_texts and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return _ranks(path, name, values, max_texts)
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        wanted = "neither number nor text" if max_texts else "not a number: a latent has to be one"
        raise DataError(f"{path}: column {name!r} is {column.type}, {wanted}")
    return values


def _ranks(path: Path, name: str, texts: Any, max_texts: int) -> Any:
    """Classes 0, 1, …; text has no order, so that what would be binned is refused."""
    values, ranks = np.unique(texts, return_inverse=True)
    if len(values) <= most_classes(len(texts), max_texts):
        return ranks
    remedy = f"leave it out, or call it {_ID} where it names the images"
    if len(values) <= most_classes(len(texts)):
        remedy = f"--fast takes at most {max_texts}: leave out --fast or the column"
    raise DataError(
        f"{path}: column {name!r} has {len(values)} different texts, too many for a factor of "
        f"{len(texts)} images; {remedy}"
    )


def _check_rows(
    codes_path: Path, codes: dict[str, Any], factors_path: Path, factors: dict[str, Any]
) -> None:
    lengths = [len(next(iter(columns.values()), ())) for columns in (codes, factors)]
    if lengths[0] != lengths[1]:
        raise DataError(
            f"{codes_path} has {lengths[0]} rows and {factors_path} {lengths[1]}: row i of both "
            "must be image i"
        )
    if _ID in codes and _ID in factors and not np.array_equal(codes[_ID], factors[_ID]):
        raise DataError(f"{codes_path} and {factors_path} hold different ids: sort both by id")


def _stack(path: Path, columns: dict[str, Any]) -> Any:
    values = {name: column for name, column in columns.items() if name != _ID}
    if not values or not len(next(iter(values.values()))):
        raise DataError(f"{path} holds no value")
    for name, column in values.items():
        bad = int((~np.isfinite(column.astype(np.float64))).sum())
        if bad:
            raise DataError(f"{path}: column {name!r} has {bad} values that are not finite")
    return np.stack([column.astype(np.float64) for column in values.values()], axis=1)


if __name__ == "__main__":
    sys.exit(main())
