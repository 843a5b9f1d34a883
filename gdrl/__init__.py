"""Named factors of an image set, the graph that relates them, and a generator that respects it."""

__version__ = "0.1.0"
