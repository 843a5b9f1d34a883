"""From ``recipe.dataset`` to the images that it names, not yet read or drawn."""

from functools import partial
from pathlib import Path

from gdrl.config import CELEBA, GRID_WORLDS, S3, WORLDS, DatasetRecipe, S3Settings
from gdrl.data.celeba import celeba_images, open_celeba
from gdrl.data.decoding import centre_square
from gdrl.data.faces import face_images
from gdrl.data.folder import Folder, list_folder
from gdrl.data.grid_world import grid_images
from gdrl.data.loose_images import SUFFIXES, Place, choose, is_image, loose_images
from gdrl.data.parquet_images import is_parquet, parquet_images
from gdrl.data.s3_prefix import S3Prefix, list_prefix
from gdrl.data.source import ImageSource
from gdrl.errors import DataError


def open_source(recipe: DatasetRecipe, s3: S3Settings) -> ImageSource:
    """The images of a recipe.

    Raises:
        DataError: no such folder, style or correlation, or no image there.
        StorageError: no such bucket, no credentials, or no answer.
    """
    if recipe.source in GRID_WORLDS:
        return grid_images(recipe)
    if recipe.source in WORLDS:
        return face_images(recipe)
    if recipe.source.startswith(CELEBA):
        tree = open_celeba(Path(recipe.source.removeprefix(CELEBA)).expanduser().absolute())
        return celeba_images(tree, recipe.num_images, recipe.seed, recipe.image_size)
    place, names = _find(recipe.source, s3)
    prepare = partial(centre_square, image_size=recipe.image_size, min_side=recipe.min_side)
    if is_parquet(names):
        return parquet_images(place, names, recipe.num_images, recipe.seed, prepare)
    images = [name for name in names if is_image(name)]
    if not images:
        raise DataError(
            f"{place} holds no image: looked for {', '.join(sorted(SUFFIXES))} at any depth"
        )
    return loose_images(place, choose(images, recipe.num_images, recipe.seed), prepare)


def _find(source: str, s3: S3Settings) -> tuple[Place, list[str]]:
    """Where the files of a source lie, and their names; a parquet file may stand alone."""
    if source.startswith(S3):
        names = list_prefix(source, s3)
        parent, _, name = source.rpartition("/")
        if not names and name.endswith(".parquet"):
            return S3Prefix(parent, s3), [name]
        return S3Prefix(source.rstrip("/"), s3), names
    path = Path(source).expanduser().absolute()
    if path.is_file() and path.suffix == ".parquet":
        return Folder(path.parent), [path.name]
    return Folder(path), list_folder(path)
