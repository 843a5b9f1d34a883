"""A folder as a place that images and parquet are read from."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

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

    Links to folders are followed; a folder that can be reached in several ways is listed once, and
    under its own path where that lies below ``folder``.

    Raises:
        DataError: the folder does not exist, or one below it cannot be listed.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; set recipe.dataset.source to a folder of images"
        )
    found, listed = list[str](), set[str]()
    waiting = [str(folder)]  # links come after all that is no link, so that none renames a file
    while waiting:
        for parent, subfolders, names in os.walk(waiting.pop(0), onerror=_refuse):
            place = os.path.realpath(parent)
            if place in listed:
                subfolders.clear()
                continue
            listed.add(place)
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            below = [Path(parent) / name for name in subfolders]
            waiting += [str(subfolder) for subfolder in below if subfolder.is_symlink()]
            found += [
                (Path(parent) / name).relative_to(folder).as_posix()
                for name in names
                if not name.startswith(".")
            ]
    return sorted(found)


def _refuse(error: OSError) -> NoReturn:
    raise DataError(
        f"{error.filename} cannot be listed ({error.strerror}): make it readable, or leave it out "
        "by a name that starts with a dot"
    ) from error
