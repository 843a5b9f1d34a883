"""Where things lie, how they are committed, and whether they are finished."""

from gdrl.artifacts.local import LocalStore
from gdrl.artifacts.manifest import (
    FileEntry,
    Manifest,
    Metrics,
    describe_files,
    fingerprint,
    plain_metrics,
)
from gdrl.artifacts.run import Artifact, Inputs, Run, Source, git_commit, package_versions
from gdrl.artifacts.s3 import S3Store
from gdrl.artifacts.storage import Storage
from gdrl.artifacts.store import Store, StoredObject, open_store

__all__ = [
    "Artifact",
    "FileEntry",
    "Inputs",
    "LocalStore",
    "Manifest",
    "Metrics",
    "Run",
    "S3Store",
    "Source",
    "Storage",
    "Store",
    "StoredObject",
    "describe_files",
    "fingerprint",
    "git_commit",
    "open_store",
    "package_versions",
    "plain_metrics",
]
