import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from eyespot.data import pixels
from tests.data.pictures import noise_picture, smooth_picture

FACTORS = st.floats(0.05, 2.0)
GREY = (128, 128, 128)
PICTURES = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda size: st.one_of(
        arrays(np.uint8, (*size, 3)),
        st.integers(0, 9).map(lambda seed: noise_picture(*size, seed)),
        st.integers(0, 9).map(lambda seed: smooth_picture(*size, seed)),
        st.integers(0, 9).map(lambda seed: smooth_picture(*size, seed) // 3 + 40),
    )
)


def transformed(image, matrix):
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=GREY
    )


def added(image, addition):
    return image.point([min(255, v + addition) if v < 128 else v for v in range(256)] * 3)


ORACLES = {
    "auto_contrast": (st.none(), lambda image, _: ImageOps.autocontrast(image)),
    "equalize": (st.none(), lambda image, _: ImageOps.equalize(image)),
    "invert": (st.none(), lambda image, _: ImageOps.invert(image)),
    "posterize": (st.integers(1, 8), ImageOps.posterize),
    "solarize": (st.integers(0, 256), ImageOps.solarize),
    "solarize_add": (st.floats(0, 110) | st.sampled_from((38.5, 60.5)), added),
    "brightness": (FACTORS, lambda image, f: ImageEnhance.Brightness(image).enhance(f)),
    "contrast": (FACTORS, lambda image, f: ImageEnhance.Contrast(image).enhance(f)),
    "color": (FACTORS, lambda image, f: ImageEnhance.Color(image).enhance(f)),
    "sharpness": (FACTORS, lambda image, f: ImageEnhance.Sharpness(image).enhance(f)),
    "rotate": (
        st.floats(-30, 30),
        lambda image, v: image.rotate(v, Image.Resampling.BILINEAR, fillcolor=GREY),
    ),
    "shear_x": (st.floats(-0.3, 0.3), lambda image, v: transformed(image, (1, v, 0, 0, 1, 0))),
    "shear_y": (st.floats(-0.3, 0.3), lambda image, v: transformed(image, (1, 0, 0, v, 1, 0))),
    "translate_x": (
        st.floats(-0.45, 0.45),
        lambda image, v: transformed(image, (1, 0, v * image.width, 0, 1, 0)),
    ),
    "translate_y": (
        st.floats(-0.45, 0.45),
        lambda image, v: transformed(image, (1, 0, 0, 0, 1, v * image.height)),
    ),
}


@pytest.mark.parametrize("name", ORACLES)
@given(data=st.data())
@settings(max_examples=80)
def test_equals_pil(name, data):
    values, oracle = ORACLES[name]
    picture, value = data.draw(PICTURES), data.draw(values)
    arguments = () if value is None else (value,)
    before = picture.copy()
    got = getattr(pixels, name)(picture, *arguments)
    np.testing.assert_array_equal(got, np.asarray(oracle(Image.fromarray(picture), value)))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)


def test_the_smoothing_of_sharpness_is_pils():
    picture = noise_picture(50, 41)
    expected = np.asarray(Image.fromarray(picture).filter(ImageFilter.SMOOTH))
    np.testing.assert_array_equal(pixels.sharpness(picture, 0.0), expected)


def test_directions_and_the_grey_they_uncover():
    picture = smooth_picture(40, 40)
    assert (pixels.shear_x(picture, 1.0)[30, 10:] == 128).all()
    assert (pixels.shear_y(picture, 1.0)[10:, 30] == 128).all()
    moved = pixels.translate_x(picture, 0.25)
    np.testing.assert_array_equal(moved[:, :30], picture[:, 10:])
    assert (moved[:, 30:] == 128).all()
    assert (pixels.translate_y(picture, -0.25)[:10] == 128).all()
