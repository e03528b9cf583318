"""MDETR's published fine-tunings on natural images; recipes of the family `ground`.

Paper: MDETR (arXiv 2104.12763), section 4 and appendix; hyperparameters as in its published code
and commands. Annotations: Zenodo record 4729015. `PRETRAINED` is a run's folder, a weights file, or
a name such as mdetr/pretrained_resnet101 (mdetr/pretrained_EB3 for EfficientNet-B3); `VOCAB` a
folder with roberta-base's tokenizer.json, or vocab.json and merges.txt.
"""

from collections.abc import Callable
from dataclasses import replace

from eyespot.tasks.ground import GroundRecipe
from eyespot.tasks.ground_network import Network
from eyespot.tasks.ground_parts import Rates, Weights

_FINE = Rates(lr=5e-5, lr_backbone=1e-5, lr_text=1e-5)


def flickr_merged() -> GroundRecipe:
    """Flickr30k Entities with one box a phrase, the hull of its boxes; the numbers are ours.

    The network was published, its recipe was not: rates and epochs are those of ground/refcoco,
    the batch is pretraining's.

    Run:     as ground/refcoco, with final_flickr_mergedGT_train.json and
             final_flickr_mergedGT_val.json
    Expect:  merged R@1 82.3 on val, 83.8 on test (published, R101, by a recipe that is not); not
             reproduced yet
    Cost:    not published
    """
    return replace(refcoco(), batch_size=64)


def refcoco() -> GroundRecipe:
    """RefCOCO from the pretrained network.

    Run:     eyespot train ground/refcoco --data finetune_refcoco_train.json --val \
             finetune_refcoco_val.json --out DIR --start-from PRETRAINED --network.vocabulary VOCAB
    Expect:  val P@1 86.75, testA 89.58, testB 81.41 (published, R101); not reproduced yet
    Cost:    about two days on 2 RTX 8000 (published issue)
    """
    return GroundRecipe(epochs=5, batch_size=8, rates=replace(_FINE, drop_epoch=3))


def refcoco_eb3() -> GroundRecipe:
    """RefCOCO from the pretrained network with EfficientNet-B3, by the rates of ResNet-101.

    Run:     as ground/refcoco, from ground/pretrain_eb3
    Expect:  val P@1 87.51, testA 90.40, testB 82.67 (published, EB3); not reproduced yet
    Cost:    not published
    """
    return _with_eb3(refcoco())


def refcoco_plus() -> GroundRecipe:
    """RefCOCO+ from the pretrained network.

    Run:     as ground/refcoco, with finetune_refcoco+_*.json
    Expect:  val P@1 79.52, testA 84.09, testB 70.62 (published, R101); not reproduced yet
    Cost:    as ground/refcoco
    """
    return refcoco()


def refcoco_plus_eb3() -> GroundRecipe:
    """RefCOCO+ from the pretrained network with EfficientNet-B3, by the rates of ResNet-101.

    Run:     as ground/refcoco_plus, from ground/pretrain_eb3
    Expect:  val P@1 81.13, testA 85.52, testB 72.96 (published, EB3); not reproduced yet
    Cost:    not published
    """
    return _with_eb3(refcoco_plus())


def refcocog() -> GroundRecipe:
    """RefCOCOg from the pretrained network.

    Run:     as ground/refcoco, with finetune_refcocog_*.json
    Expect:  val P@1 81.64, test 80.89 (published, R101); not reproduced yet
    Cost:    10 to 15 hours on 2 RTX 8000 (published issue)
    """
    return replace(refcoco(), epochs=3, rates=replace(_FINE, drop_epoch=2))


def refcocog_eb3() -> GroundRecipe:
    """RefCOCOg from the pretrained network with EfficientNet-B3, by the rates of ResNet-101.

    Run:     as ground/refcocog, from ground/pretrain_eb3
    Expect:  val P@1 83.35, test 83.31 (published, EB3); not reproduced yet
    Cost:    not published
    """
    return _with_eb3(refcocog())


def grefcoco() -> GroundRecipe:
    """Expressions with none, one or several referents (gRefCOCO), from the pretrained network.

    Paper: GREC (arXiv 2308.16182); epochs, rates and batch of its code's command.

    Run:     as ground/refcoco, with files of `eyespot data convert refcoco --folder grefcoco`
    Expect:  val Pr@F1=1 42.7 and N-acc 36.3, testA 50.0 and 34.5, testB 36.5 and 31.0 (published,
             R101, by GIoU); not reproduced yet
    Cost:    not published
    """
    return refcoco()


def phrasecut_boxes() -> GroundRecipe:
    """PhraseCut, first step: boxes.

    Run:     as ground/refcoco, with finetune_phrasecut_train.json and finetune_phrasecut_miniv.json
    Expect:  not published for this step
    Cost:    not published
    """
    return GroundRecipe(epochs=10, rates=replace(_FINE, drop_epoch=11))


def phrasecut_boxes_eb3() -> GroundRecipe:
    """PhraseCut with EfficientNet-B3, first step: boxes.

    Run:     as ground/phrasecut_boxes, from ground/pretrain_eb3
    Expect:  not published for this step
    Cost:    not published
    """
    return _with_eb3(phrasecut_boxes())


def phrasecut_masks() -> GroundRecipe:
    """PhraseCut, second step: masks on the frozen detector of the first.

    Run:     as ground/phrasecut_boxes, with --start-from its weights; its heads that this network
             does without are left out
    Expect:  mean IoU 53.1, Pr@0.5 56.1 (published, R101); not reproduced yet
    Cost:    not published
    """
    return GroundRecipe(
        network=Network(with_masks=True, alignment_dim=0),
        epochs=35,
        rates=Rates(drop_epoch=25),
        weights=Weights(auxiliary=False),
        average=0.0,
        frozen=("detr.",),
    )


def phrasecut_masks_eb3() -> GroundRecipe:
    """PhraseCut with EfficientNet-B3, second step: masks.

    Run:     as ground/phrasecut_masks, from ground/phrasecut_boxes_eb3
    Expect:  mean IoU 53.7, Pr@0.5 57.5 (published, EB3); not reproduced yet
    Cost:    not published
    """
    return replace(_with_eb3(phrasecut_masks()), frozen=("detr.",))


def lvis() -> GroundRecipe:
    """LVIS, 10 percent of its training images; each category's name is a caption.

    Run:     as ground/refcoco, with finetune_lvis10_train.json
    Expect:  minival fixed AP 24.2, rare 20.9 (published, R101); not reproduced yet
    Cost:    64 GPUs, time not published
    """
    return GroundRecipe(epochs=150, rates=Rates(drop_epoch=120))


def lvis_1() -> GroundRecipe:
    """LVIS, 1 percent of its training images; epochs as for 10 percent, which may not be its own.

    Run:     as ground/refcoco, with finetune_lvis1_train.json
    Expect:  minival fixed AP 16.7, rare 11.2 (published, R101); not reproduced yet
    Cost:    64 GPUs, time not published
    """
    return lvis()


def lvis_100() -> GroundRecipe:
    """LVIS, all of its training images, for about as few epochs as its authors had time for.

    Run:     as ground/refcoco, with finetune_lvis_train.json
    Expect:  minival fixed AP 22.5, rare 7.4 (published, R101); not reproduced yet
    Cost:    64 GPUs, time not published
    """
    return replace(lvis(), epochs=3)


def _with_eb3(recipe: GroundRecipe) -> GroundRecipe:
    """The same run with EfficientNet-B3, all of which is trained but its norms."""
    network = replace(recipe.network, backbone="EfficientNet-B3", padding="tensorflow")
    return replace(recipe, network=network, frozen=())


RECIPES: dict[str, Callable[[], GroundRecipe]] = {
    make.__name__: make
    for make in (
        flickr_merged,
        refcoco,
        refcoco_eb3,
        refcoco_plus,
        refcoco_plus_eb3,
        refcocog,
        refcocog_eb3,
        grefcoco,
        phrasecut_boxes,
        phrasecut_boxes_eb3,
        phrasecut_masks,
        phrasecut_masks_eb3,
        lvis,
        lvis_1,
        lvis_100,
    )
}
