"""A folder as a place that images and parquet are read from."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gdrl.errors import DataError


@dataclass(frozen=True)
class Folder:
    """A folder that every process which reads from it can see."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def open(self, name: str) -> BinaryIO:
        """Open one file.

        Raises:
            OSError: this file cannot be read.
            DataError: the whole folder is not there.
        """
        try:
            return (self.root / name).open("rb")
        except FileNotFoundError as error:
            if self.root.is_dir():
                raise
            raise DataError(
                f"{self.root} is not on {socket.gethostname()}, which reads a part of it; put the "
                "images into a folder that every node sees, or under s3://"
            ) from error


def list_folder(folder: Path) -> list[str]:
    """Paths of the files below ``folder``, relative to it, sorted, hidden ones left out.

    Raises:
        DataError: the folder does not exist.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; set recipe.dataset.source to a folder of images"
        )
    found = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [
            (Path(parent) / name).relative_to(folder).as_posix()
            for name in names
            if not name.startswith(".")
        ]
    return sorted(found)
