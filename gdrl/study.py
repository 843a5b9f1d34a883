"""The identifiability study: rows x seeds in parallel on Ray, each kept as it ends, one table.

A cell lies at ``{storage}/{run}/study/{row}-seed{n}-{digest}.json``, where the digest is of all
that decides it: the same command goes on from what is there, and other settings never meet old
cells.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from gdrl.artifacts import Run, Storage, Store, git_commit, open_store, package_versions
from gdrl.config import ContrastiveRecipe, RunConfig, StudyRow
from gdrl.errors import ConfigError, StorageError, TrainingFailed
from gdrl.tracking import Progress, say

MEASURE = "gdrl.training.identifiability:measure"
SCORES = ("r2", "mcc", "r2_private")
Record = dict[str, Any]
Session = Callable[[RunConfig], AbstractContextManager[None]]


def run_study(config: RunConfig, session: Session, only: Collection[str] = ()) -> str:
    """Measure what is missing of the rows named, or of all, in a ``session`` of Ray.

    Returns:
        The table, in markdown.

    Also writes ``study/table.md`` and ``study/table.json``, of what is finished of all rows.

    Raises:
        ConfigError: a row that the recipe does not have, or no rows.
        TrainingFailed: some cell failed; all others are kept.
    """
    store = open_store(Storage.of(config))
    cells = _cells(config, only)
    missing = {key: recipe for key, recipe in cells.items() if store.read(key) is None}
    say(f"{len(cells) - len(missing)} of {len(cells)} cells are finished; {len(missing)} to go")
    try:
        if missing:
            with session(config):
                _measure(config, store, missing)
    except TrainingFailed:
        with suppress(StorageError):  # the failed cells are the news
            _write_table(config, store)
        raise
    return _write_table(config, store)


def _cells(config: RunConfig, only: Collection[str] = ()) -> dict[str, ContrastiveRecipe]:
    """Key to recipe, one seed of every row after another."""
    rows = {row.name: row for row in config.recipe.study.rows}
    if not rows:
        raise ConfigError("recipe.study.rows is empty; jobs/recipes/lpcm_study.toml has some")
    if unknown := sorted(set(only) - set(rows)):
        raise ConfigError(f"no row {', '.join(unknown)}; recipe.study.rows has {', '.join(rows)}")
    chosen = [row for row in rows.values() if not only or row.name in only]
    seeds = range(config.recipe.study.num_seeds)
    recipes = [(row, seed, cell_recipe(config, row, seed)) for seed in seeds for row in chosen]
    return {_key(config, row, seed, recipe): recipe for row, seed, recipe in recipes}


def cell_recipe(config: RunConfig, row: StudyRow, seed: int) -> ContrastiveRecipe:
    """A row's setting at the study's budget; the seed decides all that is drawn."""
    return config.recipe.contrastive.model_copy(
        update={
            "latents": row.latents.model_copy(update={"seed": seed}),
            "encoder_space": row.encoder_space,
            "temperature": row.temperature,
            "seed": seed,
        }
    )


def _key(config: RunConfig, row: StudyRow, seed: int, recipe: ContrastiveRecipe) -> str:
    digest = hashlib.sha256(json.dumps(recipe.model_dump(), sort_keys=True).encode()).hexdigest()
    return f"{config.name}/study/{row.name}-seed{seed}-{digest[:12]}.json"


def _measure(config: RunConfig, store: Store, missing: Mapping[str, ContrastiveRecipe]) -> None:
    from gdrl.distributed.fanout import fan_out

    Run(store, config.name).attempt(config.model_dump(mode="json"))
    made_by = {"git_commit": git_commit(), "versions": package_versions()}
    with Progress("study", total=len(missing), unit="cells") as progress:
        results = fan_out(MEASURE, missing, config.scale.contrastive)
        for number, (key, result) in enumerate(results, 1):
            record = {"recipe": missing[key].model_dump(mode="json"), **result, **made_by}
            with suppress(FileExistsError):  # another job's: of the same digest, so as good
                store.create(key, json.dumps(record).encode())
            progress.update(number, metrics=result["scores"])


def _write_table(config: RunConfig, store: Store) -> str:
    rows = [_summary(config, store, row) for row in config.recipe.study.rows]
    table = markdown(rows)
    for name, text in (("table.md", table), ("table.json", json.dumps(rows, indent=2) + "\n")):
        key = f"{config.name}/study/{name}"
        store.delete([key])
        with suppress(FileExistsError):  # another job's, written just now of the same cells
            store.create(key, text.encode())
    return table


def _summary(config: RunConfig, store: Store, row: StudyRow) -> Record:
    """Mean and standard deviation of a row's finished seeds, and the mean curve over steps."""
    seeds = range(config.recipe.study.num_seeds)
    keys = [_key(config, row, seed, cell_recipe(config, row, seed)) for seed in seeds]
    cells = [json.loads(found) for key in keys if (found := store.read(key)) is not None]
    return {
        "row": row.name,
        "score": row.score,
        "paper": row.paper,
        "steps": config.recipe.contrastive.steps,
        "seeds": len(cells),
        "cpu_seconds": statistics.fmean(c["cpu_seconds"] for c in cells) if cells else None,
        **{name: _spread(cell["scores"].get(name) for cell in cells) for name in SCORES},
        "curve": _mean_curve([cell["curve"] for cell in cells], row.score),
    }


def _spread(values: Iterable[float | None]) -> tuple[float, float | None] | None:
    found = [value for value in values if value is not None]
    if not found:
        return None
    return statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None


def _mean_curve(curves: list[list[dict[str, float]]], score: str) -> list[tuple[int, float]]:
    return [
        (int(points[0]["step"]), statistics.fmean(point[score] for point in points))
        for points in zip(*curves, strict=True)
    ]


def markdown(rows: Iterable[Record]) -> str:
    """The summary in percent; the score that the paper reports for a row is in bold."""
    head = ("row", "R²", "MCC", "R² of private", "paper", "seeds", "steps", "CPU s")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        shown = {name: _percent(row[name]) for name in SCORES}
        shown[row["score"]] = f"**{shown[row['score']]}**"
        seconds = "" if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.0f}"
        cells = [row["row"], *shown.values(), row["paper"], str(row["seeds"])]
        lines.append(f"| {' | '.join([*cells, str(row['steps']), seconds])} |")
    return "\n".join(lines) + "\n"


def _percent(score: tuple[float, float | None] | None) -> str:
    if score is None:
        return "–"
    mean, spread = score
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
