"""A folder of images as rows of one input: decoded one by one, fitted to the model, values 0 to 255 as float32.

An image is turned as its EXIF data say, made RGB or gray as the input has three channels or one, then scaled
(bilinear) until it covers the input's height and width, and cropped around its centre. An image of the input's
very size is left as it is. Steps such as scaling to 0..1 come afterwards (``--preprocess``).
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import TensorSpec
from optimizer.data.folder import DecodedFiles, Listing, Unreadable
from optimizer.data.rows import RowForm
from optimizer.data.splits import Body
from optimizer.errors import DatasetError, LibraryMissing
from optimizer.user_function import call_user

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
_FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""No format whose decoder runs another program."""
MOST_PIXELS: Final = 50_000_000
"""Of one image: 150 MB decoded. A small file can claim any number."""
_SIXTEEN_BITS: Final = 257.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForm:
    """What the model takes of an image: gray (one channel) or RGB (three), the channels first or last."""

    height: int
    width: int
    channels: int
    channels_first: bool
    shape: tuple[int, ...]


def image_form(spec: TensorSpec) -> ImageForm:
    """Return what the input takes of an image.

    Raises:
        DatasetError: its shape is none of an image.
    """
    shape = spec.shape[1:]
    if len(shape) == 2:
        return ImageForm(height=shape[0], width=shape[1], channels=1, channels_first=False, shape=shape)
    if len(shape) == 3 and shape[0] in (1, 3):
        return ImageForm(height=shape[1], width=shape[2], channels=shape[0], channels_first=True, shape=shape)
    if len(shape) == 3 and shape[2] in (1, 3):
        return ImageForm(height=shape[0], width=shape[1], channels=shape[2], channels_first=False, shape=shape)
    shown = ", ".join(map(str, ("n", *shape)))
    raise DatasetError(
        f"holds images, but the model takes {spec.name!r} ({shown}), which is no image of 1 or 3 channels; "
        "make the rows with transform, or give the data as module:function"
    )


def images_body(listing: Listing, spec: TensorSpec, *, transform: Callable[..., object] | None, how: str) -> Body:
    """Return one row for each image of the listing.

    Args:
        listing: the folder's files, all of them with an image's suffix.
        spec: the model's input.
        transform: makes a row of one image, uint8 (h, w, 3), instead of fitting it; None: fit it.
        how: names the transform.

    Raises:
        DatasetError: the input takes no image.
        LibraryMissing: Pillow is not installed.
    """
    try:
        import PIL
    except ImportError as error:
        raise LibraryMissing("pillow", "a folder of images") from error
    if transform is not None:
        kept = RowForm(dtype=np.dtype(np.float32), shape=spec.shape[1:])
        decode = _transforming(transform)
    else:
        form = image_form(spec)
        kept = RowForm(dtype=np.dtype(np.uint8), shape=form.shape)
        decode = _fitting(form)
    told = f"image|{how}|pillow {PIL.__version__}"
    return listing.body(DecodedFiles(listing, tensor=spec.name, kept=kept, decode=decode, how=told).rows())


def _fitting(form: ImageForm) -> Callable[[Path], NDArray[np.generic]]:
    def decode(path: Path) -> NDArray[np.generic]:
        from PIL import Image, ImageOps

        image = _opened(path, "L" if form.channels == 1 else "RGB")
        if image.size != (form.width, form.height):
            image = ImageOps.fit(image, (form.width, form.height), method=Image.Resampling.BILINEAR)
        pixels = np.asarray(image, dtype=np.uint8)
        if form.channels_first and form.channels > 1:
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels).reshape(form.shape)

    return decode


def _transforming(transform: Callable[..., object]) -> Callable[[Path], NDArray[np.generic]]:
    def decode(path: Path) -> NDArray[np.generic]:
        pixels = np.asarray(_opened(path, "RGB"), dtype=np.uint8)
        return np.asarray(call_user(transform, pixels, error=DatasetError), dtype=np.float32)

    return decode


def _opened(path: Path, mode: str) -> Image.Image:
    """Return the image of the file, decoded, upright and in the mode.

    Raises:
        Unreadable: it is none, is cut short, or is too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and odd metadata; both are judged below
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise Unreadable(
                        f"{width} x {height} pixels are over the limit of {MOST_PIXELS // 1_000_000} million"
                    )
                image.load()
                return _in_mode(ImageOps.exif_transpose(image), mode)
    except UnidentifiedImageError as error:
        raise Unreadable("is no image") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"has more than {MOST_PIXELS // 1_000_000} million pixels") from error
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError) as error:
        raise Unreadable(str(error)[:100] or "is cut short") from error
    except (struct.error, zlib.error, MemoryError) as error:
        raise Unreadable(str(error)[:100] or "is damaged") from error


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would cut values over 255 off
        image = Image.fromarray(np.asarray(image, dtype=np.float32) / np.float32(_SIXTEEN_BITS))
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.convert(mode)
