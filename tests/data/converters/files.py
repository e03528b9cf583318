"""Small files laid out as each dataset's own."""

import json


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def found(pairs):
    """What a test compares: the caption, and each box with the texts that name it."""
    return [
        (
            pair.caption,
            [
                (region.box_xywh_px, [pair.caption[b:e] for b, e in region.spans])
                for region in pair.regions
            ],
        )
        for pair in pairs
    ]


def coco_instances(path):
    """COCO's instances: two images, three categories, one crowd."""
    box = {"iscrowd": 0, "segmentation": [[1, 1, 9, 1, 9, 9]], "area": 32.0}
    return put(
        path,
        {
            "info": {"year": 2017},
            "licenses": [],
            "images": [
                {"id": 9, "file_name": "000000000009.jpg", "height": 480, "width": 640}
                | {"coco_url": "", "license": 1},
                {"id": 25, "file_name": "000000000025.jpg", "height": 100, "width": 200},
            ],
            "annotations": [
                {"id": 1, "image_id": 9, "category_id": 1, "bbox": [1, 2, 30, 40], **box},
                {"id": 2, "image_id": 9, "category_id": 1, "bbox": [50, 2, 30, 40], **box},
                {"id": 3, "image_id": 9, "category_id": 10, "bbox": [5, 60, 7, 8], **box},
                {"id": 4, "image_id": 9, "category_id": 18, "bbox": [0, 0, 640, 9], **box}
                | {"iscrowd": 1, "segmentation": {"size": [480, 640], "counts": [0, 307200]}},
                {"id": 5, "image_id": 25, "category_id": 18, "bbox": [3, 4, 5, 6], **box},
            ],
            "categories": [
                {"id": 1, "name": "person", "supercategory": "person"},
                {"id": 10, "name": "traffic light", "supercategory": "outdoor"},
                {"id": 18, "name": "dog", "supercategory": "animal"},
            ],
        },
    )
