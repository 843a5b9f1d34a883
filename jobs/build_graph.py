"""Turn scores into a signed, directed graph with intervals: the run's ``graph`` artifact.

ray job submit --working-dir . -- python jobs/build_graph.py RECIPE storage=s3://BUCKET/runs
python jobs/build_graph.py jobs/recipes/demo.toml recipe.graph.measure=somers_d
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("graph", __doc__)
