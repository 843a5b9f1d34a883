"""Train encoder, graph and relation-aware decoder together: the ``disgraph`` artifact.

ray job submit --working-dir . -- python jobs/train_graph.py RECIPE storage=s3://BUCKET/runs
python jobs/train_graph.py jobs/recipes/demo.toml recipe.disgraph.num_layers=2
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("disgraph", __doc__)
