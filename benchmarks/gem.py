"""GEM's claims as numbers: representation, graph, ablations, robustness, interventions.

    OMP_NUM_THREADS=1 python benchmarks/gem.py --tables main graph --seeds 5
    python benchmarks/gem.py --print --out benchmarks/results/gem.jsonl

Rows are overrides of jobs/recipes/gem.toml and gem_paper.toml (benchmarks/gem_tables.py), trained
by the plain entries of ``gdrl.training``, without Ray. All rows train for --vae-steps plus
--disgraph-steps on one learning-rate schedule: a VAE in one go, GEM in two, the paper's in one;
where contrastive ICA extracts, its decoder has the VAE's steps, and the encoders' are on top. A
world and seed has one set of images and answers; representation is judged on an *uncorrelated*
draw of the world, the graph against the population, edits by a reader trained on other images.
``faces`` is scored by the embedded MLLM; of ``shapes3d_like`` the factors themselves are the
scores.

Each finished run is a JSON line of --out, with the commit that made it; runs found there, of equal
budget, are not repeated, also where another table has the same row, and trained models are found
again below --work by their recipes. Processes that share out rows (--rows, --first-seed) take an
--out each; --print reads what is joined into one. Images and answers are made before the rows, in
processes of their own. After a change of the method begin with another --out and --work.
``peak_mb`` is that of a row's process, imports and images included, the MLLM not; cost is CPU time.
"""

import argparse
import hashlib
import json
import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from gem_tables import (  # type: ignore[import-not-found]
    MODELS,
    TABLE_WORLDS,
    TABLES,
    WORLDS,
    Record,
    Variant,
    print_tables,
)
from published import published  # type: ignore[import-not-found]

from gdrl.config import Recipe, TrainRecipe
from gdrl.settings import load

RECIPES = Path(__file__).parents[1] / "jobs/recipes"
ROWS = sorted({variant.name for variants in TABLES.values() for variant in variants})


@dataclass(frozen=True)
class Budget:
    """What every run of a table shares."""

    images: int
    test_images: int
    fd_images: int
    scored: int
    vae_steps: int
    disgraph_steps: int
    reader_steps: int


@dataclass(frozen=True)
class Task:
    """One line of the output."""

    table: str
    variant: str
    world: str
    seed: int
    budget: Budget

    def key(self) -> str:
        """What tells it from others in ``--out``."""
        return json.dumps(asdict(self), sort_keys=True)


def recipe_of(variant: Variant, task: Task) -> Recipe:
    """The recipe that a row trains by."""
    base = load(RECIPES / ("gem_paper.toml" if variant.paper else "gem.toml")).recipe
    content, budget = base.model_dump(), task.budget
    total = budget.vae_steps + budget.disgraph_steps
    for section in ("vae", "graph", "disgraph"):
        content[section] |= {"seed": task.seed, **getattr(variant, section)}
    content["matching"] |= variant.matching
    content["extractor"] = variant.extractor
    content["encoders"]["seed"] = content["unmixing"]["seed"] = task.seed
    alone = budget.vae_steps if variant.joint else total
    for section in ("vae", "unmixing"):
        content[section]["steps"] = alone
        if not variant.joint:
            content[section]["schedule"] = (0, 1)
    warm = content["disgraph"]["warm_start"]
    content["disgraph"]["steps"] = budget.disgraph_steps if warm else total
    return Recipe.model_validate(content)


class Bench:
    """The folder of a world and seed, and what is trained in it."""

    def __init__(self, task: Task, work: Path) -> None:
        from gem_worlds import World, draw_dataset, held_out  # type: ignore[import-not-found]

        self.task, self.world = task, World(task.world)
        self.folder = work / f"{task.world}-{task.seed}-{task.budget.images}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dataset = draw_dataset(self.world, self.folder, task.budget.images, task.seed)
        self.test = held_out(self.world, self.folder, task.budget.test_images, task.seed)

    def attributes(self, recipe: Recipe) -> tuple[str, ...]:
        """Those of the recipe that the world has; all of them where it lists none."""
        listed = tuple(name for name in recipe.attributes if name in self.world.names)
        return listed or self.world.names

    def scores(self, recipe: Recipe, variant: Variant) -> Path:
        """The answers that a row may use."""
        from gem_worlds import answers, write_scores

        names, number = self.attributes(recipe), variant.num_scored
        if number is None:
            number = self.task.budget.scored
        ids, said = answers(self.world, self.folder, self.dataset, self.task.seed)
        columns = [self.world.names.index(name) for name in names]
        path = self.folder / f"scores-{number}-{variant.flipped:g}-{len(names)}"
        if not (path / "scores.parquet").exists():
            chosen = said[:number, columns]
            write_scores(path, ids[:number], names, chosen, variant.flipped, self.task.seed)
        return path

    def graph(self, recipe: Recipe, scores: Path) -> Any:
        """The measured graph."""
        from gdrl.data.scores import read_scores
        from gdrl.graph import build_graph

        read = read_scores(scores, recipe.graph.reading)
        return build_graph(read.levels, read.attributes, **recipe.graph.measurement)

    def recipe(self, variant: Variant) -> Recipe:
        """The recipe of another row in the same folder."""
        return recipe_of(variant, self.task)

    def extracted(self, recipe: Recipe, variant: Variant) -> list[Path]:
        """What a row begins with, made of the folders before it."""
        from gdrl.training import components, vae

        inputs = {"dataset": self.dataset}
        if recipe.extractor == "beta_vae":
            return [fit(vae.train, recipe.vae, inputs, self.folder)]
        pairs = self.encoders(recipe, variant)
        inputs["encoders"] = pairs
        return [pairs, fit(components.train, recipe.unmixing, inputs, self.folder)]

    def encoders(self, recipe: Recipe, variant: Variant) -> Path:
        """Contrastive pairs of images and answers."""
        from gdrl.training.encoders import train

        inputs = {"dataset": self.dataset, "scores": self.scores(recipe, variant)}
        return fit(train, recipe.encoders, inputs, self.folder)

    def disgraph(self, recipe: Recipe, variant: Variant) -> Path:
        """The joint stage, with its names and graph beside it."""
        from gem_worlds import write_names

        from gdrl.data.scores import read_scores
        from gdrl.data.table import load_pixels
        from gdrl.graph import match
        from gdrl.models.representation import Representation
        from gdrl.stages.naming import latent_rows
        from gdrl.training.disgraph import train

        extracted, scores = self.extracted(recipe, variant)[-1], self.scores(recipe, variant)
        read = read_scores(scores)
        pixels = load_pixels(self.dataset, read.ids)
        matching = match(
            Representation.load(extracted).encode(pixels), read.levels, recipe.matching.threshold
        )
        names = self.folder / f"names-{_digest(extracted.name, scores.name)}"
        write_names(names, latent_rows(matching, read.attributes))
        graph = self.folder / f"graph-{_digest(scores.name, recipe.graph.model_dump_json())}"
        graph.mkdir(exist_ok=True)
        self.graph(recipe, scores).save(graph / "graph.json")
        inputs = {"dataset": self.dataset, "extracted": extracted, "scores": scores}
        return fit(train, recipe.disgraph, {**inputs, "names": names, "graph": graph}, self.folder)


def fit(
    train: Callable[[Any], None],
    recipe: TrainRecipe,
    inputs: Mapping[str, Path],
    folder: Path,
) -> Path:
    """What a training function publishes, and ``cost.json``; found again where it was made."""
    from peak_memory import peak_bytes  # type: ignore[import-not-found]

    made_of = [
        train.__module__,
        recipe.model_dump_json(),
        *(inputs[k].name for k in sorted(inputs)),
    ]
    out = folder / f"{train.__module__.rpartition('.')[2]}-{_digest(*made_of)}"
    if (out / "cost.json").exists():
        return out
    shutil.rmtree(out, ignore_errors=True)
    start = time.process_time()
    published(train, recipe, inputs, out)
    cost = {"cpu_seconds": time.process_time() - start, "peak_mb": peak_bytes() / 2**20}
    (out / "cost.json").write_text(json.dumps(cost))
    return out


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def draw_and_ask(task: Task, work: Path) -> None:
    """The images of a world and seed, and the answers about them, for every row to find."""
    from gem_worlds import answers

    bench = Bench(task, work)
    answers(bench.world, bench.folder, bench.dataset, task.seed)


def run(task: Task, work: Path) -> Record:
    """Train and measure one row, or all rows of the graph table."""
    bench = Bench(task, work)
    if task.table == "graph":
        from gem_measures import graph_rows  # type: ignore[import-not-found]

        return {"rows": graph_rows(bench)}
    if task.table == "components":
        from gem_measures import component_rows

        return {"rows": component_rows(bench)}
    if task.table == "probes":
        from gem_measures import probe_rows

        return {"rows": probe_rows(bench)}
    variant = next(v for v in TABLES[task.table] if v.name == task.variant)
    recipe = recipe_of(variant, task)
    extracted = bench.extracted(recipe, variant)
    model = bench.disgraph(recipe, variant) if variant.joint else extracted[-1]
    from gem_measures import edits, relations_of, representation

    if task.table == "interventions":
        return {"rows": {variant.name: edits(bench, model, work)}}
    scores = representation(bench, model) | _cost(extracted, model, recipe)
    if variant.joint:
        scores |= relations_of(bench, recipe, variant, model)
    return {"rows": {variant.name: scores}}


def _cost(extracted: list[Path], model: Path, recipe: Recipe) -> dict[str, float]:
    """Of what the row needs: a model made in one stage has nothing of what was extracted."""
    needed = {*extracted, model} if recipe.disgraph.warm_start else {model}
    costs = [json.loads((path / "cost.json").read_text()) for path in needed]
    return {
        "cpu_seconds": sum(cost["cpu_seconds"] for cost in costs),
        "peak_mb": max(cost["peak_mb"] for cost in costs),
    }


def tasks_of(options: argparse.Namespace) -> list[Task]:
    """Every run, in an order that completes one seed after another."""
    budget = Budget(**{name: getattr(options, name) for name in Budget.__dataclass_fields__})
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    return [
        Task(table, variant.name, world, seed, budget)
        for seed, table in product(seeds, options.tables)
        for world in TABLE_WORLDS[table]
        if world in (options.worlds or TABLE_WORLDS[table])
        for variant in TABLES[table]
        if variant.name in (options.rows or ROWS)
    ]


def finished(out: Path) -> dict[str, Record]:
    """The records of ``out`` by the task that they answer."""
    lines = out.read_text().splitlines() if out.exists() else []
    return {json.dumps(r["task"], sort_keys=True): r for r in map(json.loads, lines)}


def same_row(task: Task, done: Mapping[str, Record]) -> Record | None:
    """What another table has of the same model, if both measure models alike."""
    if task.table not in MODELS:
        return None
    keys = (replace(task, table=table).key() for table in MODELS)
    return next((done[key] for key in keys if key in done), None)


def complete(tasks: list[Task], options: argparse.Namespace) -> None:
    """Run what is missing, each row in a fresh process, and write it down as it ends."""

    def write(task: Task, record: Record) -> None:
        said = {name: getattr(task, name) for name in ("table", "variant", "world", "seed")}
        with options.out.open("a") as file:
            file.write(json.dumps({**record, "task": asdict(task), **said}) + "\n")

    commit, done = checkout(), finished(options.out)
    for task in tasks:
        if task.key() not in done and (found := same_row(task, done)):
            write(task, found)
    done = finished(options.out)
    missing = [task for task in tasks if task.key() not in done]
    print(f"{len(tasks) - len(missing)} of {len(tasks)} runs are in {options.out}")
    for task in {(task.world, task.seed): task for task in missing}.values():
        in_a_process_of_its_own(draw_and_ask, task, options.work)
    for task in missing:
        start = time.perf_counter()
        record = in_a_process_of_its_own(run, task, options.work)
        seconds = time.perf_counter() - start
        write(task, record | {"wall_seconds": seconds, "commit": commit})
        what = f"{task.table} {task.world} {task.variant} seed {task.seed}"
        print(f"{what}: {seconds:.0f} s", flush=True)


def checkout() -> str:
    """The commit that is measured, marked where files differ from it; empty where there is none."""
    described = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    asked = subprocess.run(described, cwd=RECIPES, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def in_a_process_of_its_own(work: Callable[..., Any], *arguments: object) -> Any:
    """Spawned: the peak of memory is a process's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    """Run, resume, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, help="of each table's own (all)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", help="of these (all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="of --seeds, one after the other")
    parser.add_argument("--images", type=int, default=8_000, help="training images of a world")
    parser.add_argument("--test-images", type=int, default=2_000)
    parser.add_argument("--fd-images", type=int, default=1_000, help="of fd_efflite0; 0 skips it")
    parser.add_argument("--scored", type=int, default=1_500)
    parser.add_argument("--vae-steps", type=int, default=2_000)
    parser.add_argument("--disgraph-steps", type=int, default=2_500)
    parser.add_argument("--reader-steps", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("gem.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("gem-work"), help="images and models")
    parser.add_argument("--print", action="store_true", help="print what is in --out, run nothing")
    options = parser.parse_args()
    tasks = tasks_of(options)
    if not tasks:
        parser.error(
            "no table that --tables names has a world that --worlds names and a row that --rows "
            "names, or --seeds is 0"
        )
    if options.print and not options.out.exists():
        raise SystemExit(f"--out {options.out} is not there; name a file of finished runs")
    if not options.print:
        print(f"budget: {json.dumps(asdict(tasks[0].budget))}")
        complete(tasks, options)
    wanted = {task.key() for task in tasks}
    records = [record for key, record in finished(options.out).items() if key in wanted]
    print_tables(records, options.tables)


if __name__ == "__main__":
    main()
