"""Short trainings of the joint stage: ours, without scores, and as GEM prints it."""

from gdrl.config import DisGraphRecipe

LATENT_DIM = 6
RECIPE = DisGraphRecipe(
    steps=4, batch_size=16, scored_per_batch=8, precision="fp32", adversarial_weight=0.0
)
UNSUPERVISED = RECIPE.model_copy(update={"alignment_weight": 0.0})
PAPER = DisGraphRecipe(
    warm_start=False,
    schedule=(0, 1),
    steps=4,
    batch_size=16,
    learning_rate=1e-4,
    reconstruction_weight=0,
    alignment_weight=0,
    prior_weight=0,
    adversarial_weight=0.8,
    joint_kl_weight=0.6,
)
