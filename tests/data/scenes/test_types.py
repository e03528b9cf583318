import jaxtyping
import pytest

from eyespot.data import scenes
from eyespot.data.scenes import SceneConfig


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
@pytest.mark.parametrize("size", [28, 160])
def test_every_function_returns_the_types_and_shapes_it_says(tmp_path, difficulty, size):
    jaxtyping.config.update("jaxtyping_disable", False)
    config = SceneConfig(image_size=size, difficulty=difficulty, max_objects=8)
    try:
        for index in range(4):
            scene = scenes.make_scene(config, 0, index)
            assert scenes.render(scene).shape == (size, size, 3)
            assert scenes.masks(scene).shape == (len(scene.objects), size, size)
            assert scenes.caption(scene, absent=1).text
            assert scenes.referring(scene)
            assert scenes.questions(scene)
            assert scenes.classify(config, 0, index, by="shape_colour").name
        scenes.write_grounding(tmp_path, config, seed=0, count=1)
        scenes.write_classes(tmp_path, config, seed=0, count=1)
    finally:
        jaxtyping.config.update("jaxtyping_disable", True)
