"""Our packing of pixels against the maker's own decoder (dectris-compression)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivers.wire.packed import U1, U2, U4, Codec, pack, unpack
from tests.drivers.test_packed import SHAPES, picture
from tests.drivers.test_simplon_vectors import PIXELS, image

pytestmark = pytest.mark.peer


@pytest.fixture
def decompress() -> Any:
    return pytest.importorskip(
        "dectris.compression", reason="the maker's decoder is not installed (pip install dectris-compression)"
    ).decompress


@pytest.mark.parametrize("noise", [False, True], ids=["counts", "noise"])
@pytest.mark.parametrize("dtype", [U1, U2, U4], ids=str)
@pytest.mark.parametrize("codec", ["lz4", "bslz4"])
def test_the_makers_decoder_unpacks_what_we_pack(
    decompress: Any, codec: Codec, dtype: np.dtype[Any], noise: bool
) -> None:
    for shape in SHAPES:
        pixels = picture(shape, dtype, noise=noise)
        data = decompress(pack(pixels, codec).data, codec, elem_size=dtype.itemsize)
        assert (np.frombuffer(data, dtype).reshape(shape) == pixels).all(), shape


@pytest.mark.parametrize("name", PIXELS)
def test_the_makers_decoder_and_ours_unpack_the_recorded_images_alike(decompress: Any, name: str) -> None:
    for packed in image(name).channels.values():
        data = decompress(packed.data, packed.codec, elem_size=packed.dtype.itemsize)
        assert (np.frombuffer(data, packed.dtype).reshape(packed.shape) == unpack(packed)).all()
