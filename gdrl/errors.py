"""What can go wrong, named for what to do next.

Every error that a user can cause is a :class:`GdrlError`: the command line prints its message,
which names the setting or file and the remedy, and exits 1. Anything else is a defect and keeps its
traceback.
"""


class GdrlError(Exception):
    """An expected failure: the message says what is wrong, where, and what to do."""


class ConfigError(GdrlError):
    """A recipe or an override does not hold: unknown key, wrong type, value out of range."""


class DataError(GdrlError):
    """The images cannot be used: missing folder, no readable image, wrong shape."""


class ArtifactMissing(GdrlError):
    """A stage needs an artifact that no run has finished."""


class ArtifactCorrupt(GdrlError):
    """A finished artifact's file differs from its manifest in size or sha256."""


class ArtifactDrift(GdrlError):
    """A finished artifact was made with other settings or inputs than the ones asked for now."""


class ArtifactExists(GdrlError):
    """Another job committed this artifact first."""


class StorageError(GdrlError):
    """The storage refuses, cannot be reached, or has no room left."""


class StageFailed(GdrlError):
    """A stage of the pipeline failed; the others that did not need it were finished."""


class ClusterError(GdrlError):
    """Ray does not start on this machine."""


class EndpointError(GdrlError):
    """The MLLM endpoint cannot be reached or serves another model than the recipe's."""


class TrainingFailed(GdrlError):
    """Training stopped: a worker failed for good, or the loss is not finite."""


class Diverged(TrainingFailed):
    """The loss or the state is not finite, on every worker at once; trying again would be alike."""
