"""Read a folder of images, or draw the synthetic world, as the run's ``dataset`` artifact.

ray job submit --working-dir . -- python jobs/prepare_data.py RECIPE storage=s3://BUCKET/runs
python jobs/prepare_data.py jobs/recipes/folder.toml recipe.dataset.source=PATH
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("dataset", __doc__)
