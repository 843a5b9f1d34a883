"""The identifiability study of latent partial causal models: rows x seeds on Ray, one table.

python jobs/lpcm_study.py jobs/recipes/lpcm_study.toml
python jobs/lpcm_study.py jobs/recipes/lpcm_study.toml recipe.study.num_seeds=1 --rows sphere_vmf

What is finished is not repeated; the table is printed, and written to {storage}/{name}/study/.
"""

import argparse
from pathlib import Path

from gdrl import settings
from gdrl.cli import exit_after
from gdrl.study import run_study


def main() -> None:
    """Check the recipe before Ray and torch load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="a TOML file")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="settings")
    parser.add_argument("--rows", metavar="ROW", nargs="+", default=(), help="these rows alone")
    options = parser.parse_intermixed_args()
    exit_after(
        lambda: print(run_study(settings.load(options.recipe, options.overrides), options.rows))
    )


if __name__ == "__main__":
    main()
