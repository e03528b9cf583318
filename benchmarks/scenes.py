"""How fast is the built-in world, on one core?

Run:  python benchmarks/scenes.py [--scenes 300] [--turns 5] [--quick]
"""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import torch
from common import Record, rates, take_turns

from eyespot.data.scenes import (
    Scene,
    SceneConfig,
    caption,
    classify,
    make_scene,
    masks,
    questions,
    referring,
    render,
)

SIZES = (  # side in px, least and most objects
    (32, 1, 3),
    (64, 1, 3),
    (96, 2, 6),
    (160, 2, 6),
    (160, 1, 8),
    (160, 8, 8),
    (320, 2, 6),
)


def over(things: Iterable[Any], call: Callable[[Any], object]) -> Callable[[], None]:
    """Return a call that does one thing to all."""
    kept = list(things)

    def all_of_them() -> None:
        for each in kept:
            call(each)

    return all_of_them


def main() -> None:
    """Time worlds of several sizes, then what is asked of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    scenes, turns = (20, 2) if args.quick else (args.scenes, args.turns)
    torch.set_num_threads(1)
    record = Record("scenes")
    for size, low, high in SIZES[3:4] if args.quick else SIZES:
        config = SceneConfig(image_size=size, min_objects=low, max_objects=high)
        drawn = [make_scene(config, 0, index) for index in range(scenes)]
        calls = {
            "make and render": over(range(scenes), lambda i, c=config: render(make_scene(c, 0, i))),
            "make": over(range(scenes), lambda i, c=config: make_scene(c, 0, i)),
            "render": over(drawn, render),
        }
        seconds = take_turns(calls, turns=turns, turn_s=0.1)
        case = f"a scene of {size} px, {low} to {high} objects"
        record.add(rates(case, seconds, per_call=scenes, unit="scenes/s", against={}))

    config = SceneConfig()
    drawn = [make_scene(config, 0, index) for index in range(scenes)]
    asked: dict[str, Callable[[Scene], object]] = {
        "masks": masks,
        "caption": caption,
        "referring": referring,
        "questions (5)": questions,
    }
    calls = {name: over(drawn, call) for name, call in asked.items()}
    seconds = take_turns(calls, turns=turns, turn_s=0.1)
    case = "of a scene of 160 px, 2 to 6 objects"
    record.add(rates(case, seconds, per_call=scenes, unit="a second", against={}))
    small = SceneConfig(image_size=28, min_objects=1, max_objects=1)
    labelled = over(range(scenes), lambda i: render(classify(small, 0, i).scene))
    seconds = take_turns({"classify and render": labelled}, turns=turns, turn_s=0.1)
    case = "a labelled picture of 28 px, 1 object"
    record.add(rates(case, seconds, per_call=scenes, unit="pictures/s", against={}))


if __name__ == "__main__":
    main()
