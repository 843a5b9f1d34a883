"""A small pipeline of fake stages: real settings, real artifacts, no images, no Ray."""

from gdrl.pipeline import Stage

STAGES = (
    Stage("prepare_data", "dataset", (), ("recipe.dataset",), __name__),
    Stage("train_vae", "vae", ("dataset",), ("recipe.vae",), __name__),
    Stage("score_images", "scores", ("dataset",), ("recipe.scores",), __name__),
    Stage("build_graph", "graph", ("scores",), ("recipe.graph",), __name__),
    Stage("report", "report", ("vae", "graph"), (), __name__),
)
