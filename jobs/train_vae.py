"""Train the β-VAE on Ray Train workers and store it as the run's ``vae`` artifact.

ray job submit --working-dir . -- python jobs/train_vae.py RECIPE storage=s3://BUCKET/runs
python jobs/train_vae.py jobs/recipes/demo.toml recipe.vae.beta=8 --dry-run
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("vae", __doc__)
