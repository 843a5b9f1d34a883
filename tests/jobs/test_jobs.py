import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gdrl.pipeline import STAGE_OF, stages_of

JOBS = [*STAGE_OF.values(), "pipeline"]

# The first trains the shipped MLLM, once per release; the second tabulates many small trainings.
NO_STAGE = {"train_tiny_mllm", "lpcm_study"}

LIGHT = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("HEAVY", sorted({"torch", "ray", "transformers", "numpy"} & set(sys.modules)))
"""


def job(
    repository: Path, tmp_path: Path, name: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    script = repository / f"jobs/{name}.py"
    command = [sys.executable, "-c", LIGHT, str(script), *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_each_stage_has_a_job(repository: Path) -> None:
    scripts = {path.stem for path in (repository / "jobs").glob("*.py")}
    assert scripts - NO_STAGE == set(JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_names_its_stage_and_imports_the_command_line_alone(
    repository: Path, name: str
) -> None:
    tree = ast.parse((repository / f"jobs/{name}.py").read_text())
    imports = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert imports == ["from gdrl import cli"]
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    artifacts = {stage: artifact for artifact, stage in STAGE_OF.items()}
    assert ast.literal_eval(call.args[0]) == artifacts.get(name)
    assert f"jobs/{name}.py" in (ast.get_docstring(tree) or "")


def test_the_studys_job_is_as_small(repository: Path, tmp_path: Path) -> None:
    source = (repository / "jobs/lpcm_study.py").read_text()
    assert source.endswith(
        'from gdrl import cli\n\nif __name__ == "__main__":\n    cli.study(__doc__)\n'
    )
    done = job(repository, tmp_path, "lpcm_study", "--help")
    assert "--rows" in done.stdout
    assert "HEAVY []" in done.stdout


def test_a_dry_run_plans_and_does_nothing(repository: Path, tmp_path: Path) -> None:
    recipe = str(repository / "jobs/recipes/demo.toml")
    done = job(
        repository, tmp_path, "pipeline", recipe, "recipe.vae.beta=8", "--dry-run", "name=hot"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["run"] * len(stages_of("beta_vae"))
    assert "hot/vae" in done.stdout
    assert lines[-1] == "HEAVY []"
    assert list(tmp_path.iterdir()) == []


def test_a_job_says_what_to_run_first(repository: Path, tmp_path: Path) -> None:
    recipe = str(repository / "jobs/recipes/demo.toml")
    done = job(repository, tmp_path, "train_vae", recipe)
    assert done.returncode == 1
    assert "run jobs/prepare_data.py first, or jobs/pipeline.py" in done.stderr
    assert "HEAVY []" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_is_the_scripts_own_words(repository: Path, tmp_path: Path) -> None:
    done = job(repository, tmp_path, "train_vae", "--help")
    assert done.returncode == 0
    assert "Train the β-VAE on Ray Train workers" in done.stdout
    assert "--overwrite" in done.stdout


def test_a_typo_costs_nothing(repository: Path, tmp_path: Path) -> None:
    recipe = str(repository / "jobs/recipes/demo.toml")
    done = job(repository, tmp_path, "pipeline", recipe, "recipe.vae.betta=8")
    assert done.returncode == 1
    assert "did you mean recipe.vae.beta?" in done.stderr
    assert "HEAVY []" in done.stdout
