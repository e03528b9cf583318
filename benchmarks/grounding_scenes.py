"""How often does the shipped grounder find what a phrase means, in scenes it never saw?

Every phrase of a caption is marked, and counts as found if its best box overlaps a box of one of
its objects by half (any box). Beside it the same with phrases found by the chunker, and of a
referring expression a scene, which means exactly one object, the box that it means.

Run:  python benchmarks/grounding_scenes.py [--scenes 500] [--seed 2026] [--weights W] [--quick]
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from common import Record, figure

from eyespot.data.scenes import caption, make_scene, referring, render
from eyespot.ops.boxes import box_iou
from eyespot.predict.grounder import Grounder
from eyespot.recipes.ground import scenes_small


def main() -> None:
    """Record both shares and the time of a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--weights", default="scenes-small")
    parser.add_argument("--quick", action="store_true", help="50 scenes")
    args = parser.parse_args()
    if args.quick:
        args.scenes = 50
    record = Record("grounding_scenes")
    world = replace(scenes_small().scenes.world, split="test")
    grounder = Grounder.from_pretrained(args.weights)
    marked, chunked, referred = [], [], []
    began = time.perf_counter()
    for index in range(args.scenes):
        scene = make_scene(world, args.seed, index)
        text = caption(scene)
        spans = [phrase.span for phrase in text.phrases if phrase.object_ids]
        if not spans:
            continue
        picture = render(scene)
        wanted = {
            phrase.span: torch.tensor(scene.boxes_xyxy_px[list(phrase.object_ids)]).float()
            for phrase in text.phrases
            if phrase.object_ids
        }
        for found, hits in (
            (grounder(picture, text.text, phrases=spans, min_score=0.0, max_iou=1.0), marked),
            (grounder(picture, text.text, min_score=0.0, max_iou=1.0), chunked),
        ):
            best = {p.span: p.boxes_xyxy_px[:1] for p in found.phrases}
            for span, boxes in wanted.items():
                box = torch.from_numpy(np.asarray(best.get(span, np.zeros((0, 4))))).float()
                hits.append(bool(len(box)) and bool((box_iou(box, boxes) >= 0.5).any()))
        expression = referring(scene)
        if expression is not None:
            meant = grounder(picture, expression.caption.text, min_score=0.0).referent
            box = torch.tensor(np.asarray(meant.box_xyxy_px)[None]).float()
            boxes = torch.tensor(scene.boxes_xyxy_px[[expression.target]]).float()
            referred.append(bool((box_iou(box, boxes) >= 0.5).any()))
    ms = 1e3 * (time.perf_counter() - began) / (3 * args.scenes)
    case = f"{args.scenes} scenes, seed {args.seed}, {len(marked)} phrases: right box first"
    record.add(
        [
            figure(case, f"{args.weights}, phrases marked", 100 * np.mean(marked), "%"),
            figure(case, f"{args.weights}, phrases by the chunker", 100 * np.mean(chunked), "%"),
            figure(
                f"{args.scenes} scenes, seed {args.seed}, {len(referred)} expressions: right box",
                args.weights,
                100 * np.mean(referred),
                "%",
            ),
            figure("a picture and a text, rendering included", args.weights, ms, "ms"),
        ]
    )


if __name__ == "__main__":
    main()
