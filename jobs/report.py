"""Draw one self-contained page of what the run found: its ``report`` artifact.

ray job submit --working-dir . -- python jobs/report.py RECIPE storage=s3://BUCKET/runs
python jobs/report.py jobs/recipes/demo.toml --overwrite
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("report", __doc__)
