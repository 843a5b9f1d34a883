"""Name the β-VAE's latents by two witnesses: the run's ``names`` artifact.

ray job submit --working-dir . -- python jobs/match_latents.py RECIPE storage=s3://BUCKET/runs
python jobs/match_latents.py jobs/recipes/demo.toml recipe.matching.threshold=0.7
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("names", __doc__)
