"""How fast is the built-in world, on one core?

Run:  OMP_NUM_THREADS=1 python benchmarks/scenes.py [--scenes 300] [--rounds 5]

Prints CPU milliseconds of one scene (mean over the scenes, best round) and pictures a second.
"""

import argparse
import time
from collections.abc import Callable

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


def best_ms(work: Callable[[int], object], scenes: int, rounds: int) -> float:
    """CPU milliseconds of one call, the best of the rounds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for index in range(scenes):
            work(index)
        times.append((time.process_time() - start) / scenes * 1e3)
    return min(times)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    print("| image | objects | scene ms | picture ms | both, pictures/s |\n|---|---|---|---|---|")
    for size, low, high in (
        (32, 1, 3),
        (64, 1, 3),
        (96, 2, 6),
        (160, 2, 6),
        (160, 1, 8),
        (160, 8, 8),
        (320, 2, 6),
    ):
        config = SceneConfig(image_size=size, min_objects=low, max_objects=high)
        drawn = [make_scene(config, 0, index) for index in range(args.scenes)]
        make = best_ms(lambda i, c=config: make_scene(c, 0, i), args.scenes, args.rounds)
        paint = best_ms(lambda i, d=drawn: render(d[i]), args.scenes, args.rounds)
        rate = 1e3 / (make + paint)
        print(f"| {size} px | {low} to {high} | {make:.2f} | {paint:.2f} | {rate:.0f} |")

    config = SceneConfig()
    drawn = [make_scene(config, 0, index) for index in range(args.scenes)]
    calls: dict[str, Callable[[Scene], object]] = {
        "masks": masks,
        "caption": caption,
        "referring": referring,
        "questions (5)": questions,
    }
    print("\n| 160 px, 2 to 6 objects | ms |\n|---|---|")
    for name, call in calls.items():
        print(
            f"| {name} | {best_ms(lambda i, f=call: f(drawn[i]), args.scenes, args.rounds):.2f} |"
        )
    small = SceneConfig(image_size=28, min_objects=1, max_objects=1)
    labelled = best_ms(lambda i: render(classify(small, 0, i).scene), args.scenes, args.rounds)
    print(f"| classify and render, 28 px, 1 object | {labelled:.2f} |")


if __name__ == "__main__":
    main()
