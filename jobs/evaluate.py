"""Measure what was learned on images no stage saw: the run's ``evaluation`` artifact.

ray job submit --working-dir . -- python jobs/evaluate.py RECIPE storage=s3://BUCKET/runs
python jobs/evaluate.py jobs/recipes/demo.toml --dry-run
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("evaluation", __doc__)
