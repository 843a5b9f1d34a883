"""docs/paper_map.md names files, functions, recipes, settings and tables: all of them exist."""

import ast
import re
import runpy
from pathlib import Path

import pytest

from gdrl.settings import known_keys, load

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/paper_map.md").read_text("utf-8")


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`([\w/]+\.py(?::\w+)?)`", TEXT))))
def test_a_place_exists(place: str) -> None:
    path, _, name = place.partition(":")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert not name or name in defined


def test_every_table_and_figure_of_the_paper_has_its_line() -> None:
    lines = "\n".join(line.split("|")[1] for line in TEXT.splitlines() if line.startswith("|"))
    for kind, number in (("table", 4), ("fig.", 16)):
        listed = re.findall(rf"{re.escape(kind)} ((?:\d+(?:, )?)+)", lines)
        named = {int(n) for numbers in listed for n in re.findall(r"\d+", numbers)}
        assert named == set(range(1, number + 1))
    assert "A.5" in lines
    assert "A.6" in lines


@pytest.mark.parametrize("key", sorted(set(re.findall(r"`(recipe\.[\w.]+)", TEXT))))
def test_a_setting_exists(key: str) -> None:
    assert key in set(known_keys())


@pytest.mark.parametrize("recipe", sorted(set(re.findall(r"\]\(\.\./(jobs/\S+\.toml)\)", TEXT))))
def test_a_recipe_loads(recipe: str) -> None:
    assert load(ROOT / recipe).name == Path(recipe).stem


def test_what_the_paper_prints_is_what_its_recipe_says() -> None:
    recipe = load(ROOT / "jobs/recipes/gem_paper.toml").recipe
    assert (recipe.vae.latent_dim, len(recipe.attributes), recipe.scores.num_images) == (6, 6, 1500)
    assert (recipe.graph.reading, recipe.graph.measure, recipe.graph.signed) == (
        "argmax",
        "somers_d",
        False,
    )
    joint = recipe.disgraph
    assert (joint.adversarial_weight, joint.joint_kl_weight) == (0.8, 0.6)
    assert joint.beta == pytest.approx(0.6 * recipe.vae.beta)
    assert (joint.learning_rate, joint.batch_size, joint.warm_start) == (1e-4, 32, False)
    off = (joint.reconstruction_weight, joint.alignment_weight, joint.prior_weight)
    assert off == (0, 0, 0)
    assert not joint.drawn_edges_only


def test_ours_is_the_default() -> None:
    ours, demo = (load(ROOT / f"jobs/recipes/{name}.toml").recipe for name in ("gem", "demo"))
    assert ours == demo


def test_the_tables_it_names_are_the_benchmarks() -> None:
    named = {
        table for listed in re.findall(r"`--tables ([\w ]+)`", TEXT) for table in listed.split()
    }
    tables = runpy.run_path(str(ROOT / "benchmarks/gem_tables.py"))["TABLES"]
    assert named <= set(tables)
