import cmath
import dataclasses
import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.path import Path
from numpy.testing import assert_allclose, assert_array_equal

from eyespot.data.scenes import COLOURS, MATERIALS, SHAPES, SceneConfig, make_scene, masks, render
from eyespot.data.scenes.colour import draw_colour, oklch_to_rgb
from eyespot.data.scenes.layout import draw_details
from eyespot.data.scenes.silhouettes import outlines
from eyespot.data.scenes.stream import Stream

HARD = SceneConfig(difficulty="hard", max_objects=8, image_size=96)
indices = st.integers(0, 2**40)


def oklab(rgb):
    """OKLab by its published matrices, the other way from the code under test."""
    rgb = np.asarray(rgb, dtype=np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lms = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(lms) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


CENTRES = {
    name: np.array([light, *(c * f(math.radians(h)) for f in (math.cos, math.sin))])
    for name, (light, c, h) in COLOURS.items()
}


def nearest_colour(rgb):
    lab = oklab(rgb)
    if np.hypot(*lab[1:]) < 0.04:  # a shadow on white or a light on black is grey
        return "white" if lab[0] > 0.6 else "black"
    weights = np.array([0.6, 1, 1])  # light and shadow move lightness most
    return min(CENTRES, key=lambda name: np.linalg.norm((CENTRES[name] - lab) * weights))


def alone(shape, colour, material, *, side=0.4, size=160, index=0):
    """A scene with one object in the middle."""
    config = SceneConfig(image_size=size)
    stream = Stream("label", "train", 99, index)
    thing = draw_details(
        stream, shape=shape, colour=colour, size="large", material=material, side=side
    )
    scene = make_scene(config, 99, index)
    return dataclasses.replace(
        scene, objects=(dataclasses.replace(thing, x=0.5, y=0.5),), overlaps=()
    )


def solid(thing, pixels):
    """Which pixels of a square image the silhouette holds, by points inside polygons."""
    turn = cmath.rect(thing.side / 2, math.radians(thing.angle_deg))
    line = (np.arange(pixels) + 0.5) / pixels
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    outline = outlines()[thing.shape]
    count = np.zeros(len(points), dtype=int)
    for contours, sign in ((outline.body, 1), (outline.holes, -1)):
        for contour in contours:
            flip = -1 if thing.flipped else 1
            spun = (contour[:, 0] * flip + 1j * contour[:, 1]) * turn
            corners = np.stack([spun.real + thing.x, spun.imag + thing.y], axis=1)
            count += sign * Path(corners).contains_points(points)
    return (count > 0).reshape(pixels, pixels)


@settings(max_examples=12)
@given(index=indices)
def test_masks_visibility_and_overlaps_agree_with_points_inside_polygons(index):
    fine = dataclasses.replace(HARD, image_size=192)
    scene = make_scene(fine, 1, index)
    found = masks(scene)
    whole = [solid(thing, 192) for thing in scene.objects]
    listed = {(far, near): share for far, near, share in scene.overlaps}
    for one, thing in enumerate(scene.objects):
        covered = np.any([np.zeros((192, 192), dtype=bool), *whole[one + 1 :]], axis=0)
        seen = whole[one] & ~covered
        assert abs(thing.visible - seen.sum() / whole[one].sum()) < 0.03
        assert (seen ^ found[one]).sum() < 0.04 * whole[one].sum()
        for near in range(one + 1, len(whole)):
            shared = (whole[one] & whole[near]).sum()
            shared = shared / min(whole[one].sum(), whole[near].sum())
            assert abs(listed.get((one, near), 0.0) - shared) < 0.03


@settings(max_examples=40)
@given(index=indices, size=st.sampled_from([28, 64, 96, 160]))
def test_boxes_are_the_tight_extent_of_masks_that_do_not_overlap(index, size):
    scene = make_scene(dataclasses.replace(HARD, image_size=size), 2, index)
    found = masks(scene)
    assert found.shape == (len(scene.objects), size, size)
    assert found.sum(axis=0).max() <= 1
    for mask, box in zip(found, scene.boxes_xyxy_px, strict=True):
        rows, columns = np.argwhere(mask).T
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("size", [28, 64, 96, 160, 333])
def test_pictures_have_the_size_asked_for_and_use_the_range(size):
    image = render(make_scene(SceneConfig(image_size=size), 3, 5))
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10


def test_oklch_agrees_with_its_inverse_and_with_known_colours():
    assert_allclose(oklch_to_rgb(1.0, 0.0, 0.0), (1, 1, 1), atol=1e-6)
    assert_allclose(oklch_to_rgb(0.627955, 0.257683, 29.2339), (1, 0, 0), atol=1e-4)
    for lightness, chroma, hue in COLOURS.values():
        lab = oklab(oklch_to_rgb(lightness, chroma, hue))
        expected = (
            lightness,
            chroma * math.cos(math.radians(hue)),
            chroma * math.sin(math.radians(hue)),
        )
        assert_allclose(lab, expected, atol=0.03)  # a few colours leave the screen's range


def test_no_shade_of_a_colour_comes_near_another():
    stream = Stream("layout", "train", 7, 7)
    for name in COLOURS:
        for _ in range(300):
            own = oklab(draw_colour(stream, name))
            gaps = {other: np.linalg.norm(own - centre) for other, centre in CENTRES.items()}
            assert gaps.pop(name) < 0.55 * min(gaps.values()), name


@pytest.mark.parametrize("material", MATERIALS)
def test_every_painted_object_keeps_its_colour(material):
    pairs = list(itertools.product(SHAPES, COLOURS))
    for index, (shape, colour) in enumerate(pairs[MATERIALS.index(material) :: 3]):
        scene = alone(shape, colour, material, index=index)
        pixels = render(scene)[masks(scene)[0]] / 255
        names = [nearest_colour(rgb) for rgb in pixels[:: max(1, len(pixels) // 60)]]
        details = {"black", "white"} - {colour}  # wheels, windows, stripes
        names = [name for name in names if name not in details]
        assert max(COLOURS, key=names.count) == colour, shape


def test_a_matte_square_is_flat_in_the_middle_and_has_its_own_colour():
    scene = alone("square", "red", "matte", side=0.5)
    middle = render(scene)[72:88, 72:88].reshape(-1, 3)
    expected = np.round(np.array(scene.objects[0].rgb) * 255)
    assert np.abs(middle - expected).max() <= 1


def test_materials_look_as_they_are_called():
    pictures = {m: render(alone("square", "blue", m, side=0.5))[50:110, 50:110] for m in MATERIALS}
    light = {name: picture.astype(float).mean(axis=2) for name, picture in pictures.items()}
    assert light["matte"].std() < 8
    assert light["shiny"].std() > 15
    for name, share in (("striped", 0.42), ("dotted", 0.283)):
        assert abs((light[name] > 170).mean() - share) < 0.06  # the painted area by geometry
    across = np.abs(np.diff(light["striped"], axis=0)).mean()
    assert across > 8


def test_objects_change_only_what_is_near_them():
    scene = make_scene(HARD, 4, 3)
    bare = dataclasses.replace(scene, objects=scene.objects[:-1])
    changed = (render(scene) != render(bare)).any(axis=2)
    rows, columns = np.nonzero(changed)
    x0, y0, x1, y1 = scene.objects[-1].box_xyxy_px
    assert x0 - 4 <= columns.min() < columns.max() < x1 + 10
    assert y0 - 4 <= rows.min() < rows.max() < y1 + 10
    assert changed[masks(scene)[-1]].mean() > 0.95


def test_two_sizes_show_the_same_picture():
    for index in range(5):
        small, large = (
            render(make_scene(dataclasses.replace(HARD, image_size=size), 5, index)).astype(float)
            for size in (128, 256)
        )
        halved = large.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
        assert np.abs(halved - small).mean() < 4
        assert np.corrcoef(halved.ravel(), small.ravel())[0, 1] > 0.97


def test_the_nearest_object_is_on_top():
    scene = make_scene(SceneConfig(), 6, 0)
    here = dataclasses.replace(scene.objects[0], x=0.5, y=0.5)
    stack = tuple(
        dataclasses.replace(here, shape=shape, side=side, visible=1.0)
        for shape, side in (("square", 0.6), ("circle", 0.4), ("circle", 0.2))
    )
    found = masks(dataclasses.replace(scene, objects=stack))
    areas = found.sum(axis=(1, 2)) / 160**2
    assert_allclose(areas[1:], [np.pi * (0.2**2 - 0.1**2), np.pi * 0.1**2], rtol=0.03)
    assert not found[0, 80, 80]
    assert found[2, 80, 80]
    assert_array_equal(found.any(axis=0), found.sum(axis=0) == 1)
