"""Train two encoders, of images and of the MLLM's answers, as the run's ``encoders`` artifact.

ray job submit --working-dir . -- python jobs/train_encoders.py RECIPE storage=s3://BUCKET/runs
python jobs/train_encoders.py jobs/recipes/contrastive_ica.toml recipe.encoders.steps=900 --dry-run
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("encoders", __doc__)
