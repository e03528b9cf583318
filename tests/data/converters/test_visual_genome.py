import pytest
import torch

from eyespot.data.converters.gqa import from_gqa
from eyespot.data.converters.phrasecut import from_phrasecut
from eyespot.data.converters.visual_genome import cluster_boxes, from_visual_genome
from tests.data.converters.files import coco_instances, found, put


def region(phrase, box, objects=(), synsets=()):
    x, y, width, height = box
    return {
        "region_id": 1, "image_id": 2, "phrase": phrase,
        "x": x, "y": y, "width": width, "height": height,
        "relationships": [],
        "synsets": [
            {"synset_name": f"{word}.n.01", "entity_name": word,
             "entity_idx_start": phrase.index(word),
             "entity_idx_end": phrase.index(word) + len(word)}
            for word in synsets
        ],
        "objects": [
            {"object_id": i, "name": word, "synsets": [f"{word}.n.01"],
             "x": b[0], "y": b[1], "w": b[2], "h": b[3]}
            for i, (word, b) in enumerate(objects)
        ],
    }  # fmt: skip


def images(path):
    return put(
        path,
        [
            {"image_id": 2, "url": "https://…/2.jpg", "width": 800, "height": 600}
            | {"coco_id": None, "flickr_id": None},
            {"image_id": 3, "url": "", "width": 100, "height": 50, "coco_id": 25, "flickr_id": 1},
        ],
    )


def convert(tmp_path, regions, image=2, **options):
    graphs = put(tmp_path / "region_graphs.json", [{"image_id": image, "regions": regions}])
    pairs = from_visual_genome(graphs, images(tmp_path / "image_data.json"), **options)
    return list(pairs)


def test_objects_and_regions(tmp_path):
    man, hat = ("man", (10, 10, 100, 200)), ("hat", (20, 10, 30, 20))
    also = ("man", (12, 10, 100, 200))
    regions = [
        region("the tall  man in a hat", (0, 0, 200, 300), [man, hat, also], ["man", "hat"]),
        region("a clock on a tower", (400, 0, 50, 60)),
        region("wall", (0, 0, 9, 9)),
        region("a ", (0, 0, 9, 9)),
    ]
    pairs = convert(tmp_path, regions)
    assert found(pairs) == [
        ("the tall man in a hat", [
            ((11, 10, 100, 200), ["the tall man"]), ((20, 10, 30, 20), ["hat"]),
        ]),
        ("a clock on a tower", [((400, 0, 50, 60), ["a clock"])]),
    ]  # fmt: skip
    assert (pairs[0].file_name, pairs[0].height_px, pairs[0].width_px) == ("2.jpg", 600, 800)
    assert pairs[0].more["data_source"] == "vg"


def test_words_that_stand_twice_and_objects_of_several_synsets_are_not_trusted(tmp_path):
    twice = region("dog and dog", (0, 0, 9, 9), [("dog", (1, 1, 5, 5))], ["dog", "dog"])
    unsure = region("big cat", (20, 20, 9, 9), [("cat", (21, 21, 5, 5))], ["cat"])
    unsure["objects"][0]["synsets"].append("lion.n.01")
    assert found(convert(tmp_path, [twice, unsure])) == [
        ("dog and dog", [((0, 0, 9, 9), ["dog"])]),
        ("big cat", [((20, 20, 9, 9), ["big cat"])]),
    ]


def test_regions_that_say_the_same(tmp_path):
    box, near, far, other = (0, 0, 100, 100), (4, 0, 100, 100), (300, 300, 50, 50), (500, 0, 40, 40)
    with_object = region("red cup", box, [("cup", (10, 10, 40, 40))], ["cup"])
    regions = [
        region("Red cup.", (5, 5, 50, 50)),  # no objects, on the cup: dropped
        with_object,
        region("red cup", near, [("cup", (70, 70, 20, 20))], ["cup"]),  # same region: joined
        region("red cup", far),  # elsewhere: put together
        region("red cup", other),
    ]
    (pair,) = convert(tmp_path, regions)
    assert pair.caption == "red cup"
    boxes = [box for box, _ in found([pair])[0][1]]
    assert boxes == [(10, 10, 40, 40), (70, 70, 20, 20), far, other]


def test_images_of_coco_are_scaled(tmp_path):
    coco = [coco_instances(tmp_path / "i.json")]  # image 25 is 200 x 100 there
    (pair,) = convert(tmp_path, [region("a dog", (10, 20, 30, 20))], image=3, coco=coco)
    assert found([pair]) == [("a dog", [((20, 40, 60, 40), ["a dog"])])]
    assert (pair.file_name, pair.height_px, pair.width_px) == ("000000000025.jpg", 100, 200)
    assert pair.more["data_source"] == "coco"
    with pytest.raises(ValueError, match="need image 7 of"):
        convert(tmp_path, [], image=7)


def test_clusters_reach_through_others():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10], [50, 0, 60, 10]])
    assert cluster_boxes(boxes, 0.7).tolist() == [[1, 0, 11, 10], [50, 0, 60, 10]]
    flat = torch.tensor([[5.0, 5, 5, 5]])
    assert torch.equal(cluster_boxes(flat, 0.7), flat)


QUESTIONS = {
    "02930152": {
        "question": "Is the sky dark above the tall buildings?",
        "imageId": "2354786",
        "answer": "yes",
        "fullAnswer": "Yes, the sky is dark.",
        "isBalanced": True,
        "semantic": [
            {"operation": "select", "dependencies": [], "argument": "sky (2486325)"},
            {"operation": "verify color", "dependencies": [0], "argument": "dark"},
        ],
        "types": {"detailed": "verifyAttr", "semantic": "attr", "structural": "verify"},
        "annotations": {
            "answer": {},
            "question": {"2": "2486325", "6:8": "77"},
            "fullAnswer": {"2": "2486325"},
        },
    },
    "07333408": {
        "question": "What is the man holding?",
        "imageId": "2354786",
        "answer": "cup",
        "semantic": [
            {"operation": "select", "dependencies": [], "argument": "man (5)"},
            {"operation": "select", "dependencies": [], "argument": "scene (-)"},
        ],
        "types": {"detailed": "relO", "semantic": "rel", "structural": "query"},
        "annotations": {"answer": {"0": "6"}, "question": {}, "fullAnswer": {}},
    },
}  # fmt: skip


def test_gqa(tmp_path):
    def thing(name, x, y, w, h):
        return {"name": name, "x": x, "y": y, "w": w, "h": h, "attributes": [], "relations": []}

    objects = {
        "2486325": thing("sky", 0, 0, 500, 100),
        "77": thing("buildings", 10, 90, 200, 200),
        "5": thing("man", 5, 6, 7, 8),
        "6": thing("cup", 1, 2, 3, 4),
    }
    graph = {"width": 500, "height": 333, "location": "city", "objects": objects}
    graphs = put(tmp_path / "val_sceneGraphs.json", {"2354786": graph})
    questions = put(tmp_path / "val_balanced_questions.json", QUESTIONS)
    pairs = list(from_gqa(questions, graphs))
    assert found(pairs) == [
        ("Is the sky dark above the tall buildings?", [
            ((0, 0, 500, 100), ["sky"]), ((10, 90, 200, 200), ["tall buildings"]),
        ]),
        ("What is the man holding?", [((5, 6, 7, 8), ["man"]), ((1, 2, 3, 4), ["What"])]),
    ]  # fmt: skip
    assert pairs[1].more["questionId"] == "07333408"
    assert (pairs[1].more["answer"], pairs[1].more["question_type"]) == ("cup", "rel")
    assert (pairs[0].file_name, pairs[0].height_px) == ("2354786.jpg", 333)


def test_gqa_tests_have_no_graphs(tmp_path):
    row = {"question": "Who is it?", "imageId": "3", "isBalanced": True}
    questions = put(tmp_path / "test.json", {"1": row})
    (pair,) = from_gqa(questions, None, images(tmp_path / "image_data.json"))
    assert (pair.width_px, pair.regions) == (100, ())
    assert "answer" not in pair.more
    with pytest.raises(ValueError, match="need the size of image 3 in the scene graphs or"):
        list(from_gqa(questions))
    with pytest.raises(ValueError, match="need image_data to find COCO's names"):
        list(from_gqa(questions, coco=[questions]))


def test_phrasecut(tmp_path):
    task = {
        "task_id": "2__77",
        "image_id": 2,
        "ann_ids": [77, 78],
        "instance_boxes": [[1, 2, 30, 40], [50, 60, 10, 10]],
        "Polygons": [
            [[[1, 2], [31, 2], [31, 42]], [[5, 5], [6, 6]]],
            [[[50, 60], [60, 60], [60, 70], [50, 70]]],
        ],
        "phrase": "wooden chairs",
        "phrase_structure": {"name": "chairs", "attributes": ["wooden"], "type": "attribute"}
        | {"relation_ids": [], "relation_descriptions": []},
    }
    refer = put(tmp_path / "refer_miniv.json", [task])
    image_data = images(tmp_path / "image_data_split3000.json")
    (pair,) = from_phrasecut(refer, image_data)
    assert found([pair]) == [
        ("wooden chairs", [
            ((1, 2, 30, 40), ["wooden chairs"]), ((50, 60, 10, 10), ["wooden chairs"]),
        ])
    ]  # fmt: skip
    assert pair.more["task_id"] == "2__77"
    assert [region.more["segmentation"] for region in pair.regions] == [
        [[1, 2, 31, 2, 31, 42]],
        [[50, 60, 60, 60, 60, 70, 50, 70]],
    ]
    put(image_data, [])
    with pytest.raises(ValueError, match="need image 2 of task 2__77 in"):
        list(from_phrasecut(refer, image_data))
