"""Where things lie: a folder or a URI, and how it is reached."""

from dataclasses import dataclass

from gdrl.config import RunConfig, S3Settings


@dataclass(frozen=True)
class Storage:
    """The address of a folder, here or elsewhere. Without a secret: it may be pickled and shown."""

    uri: str
    """A path, or ``s3://bucket/prefix``."""
    s3: S3Settings = S3Settings()

    @classmethod
    def of(cls, config: RunConfig) -> "Storage":
        """The storage that a run's settings name."""
        return cls(config.storage, config.s3)

    @property
    def is_remote(self) -> bool:
        """Whether it is a URI rather than a path."""
        return "://" in self.uri

    def __truediv__(self, key: str) -> "Storage":
        """What lies below."""
        return Storage(f"{self.uri.rstrip('/')}/{key}", self.s3)

    def __str__(self) -> str:
        return self.uri
