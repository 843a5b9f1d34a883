"""Where things lie, how they are committed, and whether they are finished."""

from gdrl.artifacts.manifest import (
    FileEntry,
    Manifest,
    Metrics,
    describe_files,
    fingerprint,
    plain_metrics,
)
from gdrl.artifacts.run import Artifact, Inputs, Run, Source, git_commit, package_versions
from gdrl.artifacts.storage import Storage
from gdrl.artifacts.store import LocalStore, Store, open_store

__all__ = [
    "Artifact",
    "FileEntry",
    "Inputs",
    "LocalStore",
    "Manifest",
    "Metrics",
    "Run",
    "Source",
    "Storage",
    "Store",
    "describe_files",
    "fingerprint",
    "git_commit",
    "open_store",
    "package_versions",
    "plain_metrics",
]
