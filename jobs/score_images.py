"""Ask the MLLM how strongly each attribute is present: the run's ``scores`` artifact.

ray job submit --working-dir . -- python jobs/score_images.py RECIPE storage=s3://BUCKET/runs
python jobs/score_images.py jobs/recipes/demo.toml scale.mllm.num_replicas=2
"""

from gdrl import cli

if __name__ == "__main__":
    cli.main("scores", __doc__)
