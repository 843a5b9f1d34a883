"""The identifiability study of latent partial causal models: rows x seeds on Ray, one table.

python jobs/lpcm_study.py jobs/recipes/lpcm_study.toml
python jobs/lpcm_study.py jobs/recipes/lpcm_study.toml recipe.study.num_seeds=1 --rows sphere_vmf

What is finished is not repeated; the table is printed, and written to {storage}/{name}/study/.
"""

from gdrl import cli

if __name__ == "__main__":
    cli.study(__doc__)
