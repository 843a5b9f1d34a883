"""Run every stage that is missing, several at a time, and print the path of the report.

ray job submit --working-dir . -- python jobs/pipeline.py RECIPE storage=s3://BUCKET/runs
python jobs/pipeline.py jobs/recipes/demo.toml name=hot recipe.vae.beta=8 --dry-run
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main(None, __doc__)  # parses first; torch and ray load only once the arguments hold
