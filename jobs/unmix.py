"""Unmix the image encoder's features by linear ICA, with a decoder, as ``components``.

ray job submit --working-dir . -- python jobs/unmix.py RECIPE storage=s3://BUCKET/runs
python jobs/unmix.py jobs/recipes/contrastive_ica.toml recipe.unmixing.method=pca --dry-run
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("components", __doc__)
