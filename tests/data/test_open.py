"""Every form of data as its makers lay it out, and what users get wrong."""

import gzip
import pickle
import struct

import numpy as np
import pytest

from eyespot.data.decode import decode_image
from eyespot.data.few_labels import listing
from eyespot.data.open import find_splits, open_samples, open_train_and_val
from eyespot.data.write_shards import write_shards
from tests.data.pictures import encode, noise_picture


def put(path, seed=0, format="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(noise_picture(5, 4, seed), format))


def labels(opened):
    return [opened.samples[i].label for i in range(len(opened.samples))]


def class_folders(root, classes=("cat", "dog"), each=2):
    for number, name in enumerate(classes):
        for i in range(each):
            put(root / name / f"{i}.png", 10 * number + i)


def idx(values):
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def mnist(root, zipped=True):
    rng = np.random.default_rng(0)
    root.mkdir(exist_ok=True)
    for stem, count in (("train", 6), ("t10k", 3)):
        for part, values in (
            ("images-idx3", rng.integers(0, 256, (count, 28, 28))),
            ("labels-idx1", np.arange(count) % 4),
        ):
            data = idx(values)
            name = root / f"{stem}-{part}-ubyte{'.gz' if zipped else ''}"
            name.write_bytes(gzip.compress(data) if zipped else data)


def test_class_folders(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("soft")
    opened = open_samples(str(tmp_path))
    assert (opened.kind, opened.num_classes, opened.classes) == ("image folder", 2, ("cat", "dog"))
    assert labels(opened) == [0, 0, 1, 1]
    end = ": 4 images, 2 classes; 1 other files left out"
    assert opened.description == f"image folder {tmp_path}{end}"
    bare = open_samples(str(tmp_path), labelled=False)
    assert (bare.kind, bare.num_classes, labels(bare)) == ("images", None, [None] * 4)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_train_and_val_folders(tmp_path, name):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / name, each=1)
    assert find_splits(str(tmp_path)) == ("train", "test" if name == "test" else "val")
    train, val = open_train_and_val(str(tmp_path), labelled=True)
    assert (labels(train), labels(val)) == ([0, 0, 1, 1], [0, 1])
    assert val.samples[0].name == "cat/0.png"
    with pytest.raises(ValueError, match="need one of the splits train, "):
        open_samples(str(tmp_path))
    with pytest.raises(ValueError, match="a split of train, val, test, got 'dev'"):
        open_samples(str(tmp_path), split="dev")


def test_trains_beside_other_vehicles_are_a_class(tmp_path):
    class_folders(tmp_path, ("bus", "train"))
    assert open_samples(str(tmp_path)).classes == ("bus", "train")


def test_val_of_other_classes_is_refused(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "val", ("cat", "fox"))
    with pytest.raises(ValueError, match="got 2 in only one of them, such as 'dog'"):
        open_train_and_val(str(tmp_path))


def test_without_val_a_part_is_held_out(tmp_path):
    class_folders(tmp_path, each=5)
    train, val = open_train_and_val(str(tmp_path), part=0.3)
    assert (len(train.samples), len(val.samples), val.num_classes) == (7, 3, 2)
    names = {part.samples[i].name for part in (train, val) for i in range(len(part.samples))}
    assert len(names) == 10
    with pytest.raises(ValueError, match="need a val split, got one set"):
        open_samples(str(tmp_path), split="val")


def test_images_without_labels(tmp_path):
    put(tmp_path / "b.png")
    put(tmp_path / "a.jpg", format="JPEG")
    opened = open_samples(str(tmp_path), split="train")
    assert (opened.kind, opened.num_classes, labels(opened)) == ("images", None, [None, None])
    with pytest.raises(ValueError, match=r"need labels, got images without: .* give each class"):
        open_samples(str(tmp_path), labelled=True)
    put(tmp_path / "dog" / "1.png")
    with pytest.raises(ValueError, match="got images beside the folder dog"):
        open_samples(str(tmp_path))
    assert len(open_samples(str(tmp_path), labelled=False).samples) == 3


def test_one_folder_inside_is_looked_into(tmp_path):
    mnist(tmp_path / "raw")
    assert open_samples(str(tmp_path), split="train").kind == "IDX"


def test_text_lists(tmp_path):
    for i in range(3):
        put(tmp_path / "im ages" / f"{i}.png", i)
    paths = [f"im ages/{i}.png" for i in range(3)]
    (tmp_path / "bare.txt").write_text("\n".join(paths))
    assert labels(open_samples(str(tmp_path / "bare.txt"))) == [None] * 3
    named = tmp_path / "named.txt"
    named.write_text("".join(f"{path}\t{2 * i}\n" for i, path in enumerate(paths)))
    opened = open_samples(str(named), labelled=True)
    assert (opened.kind, opened.num_classes, labels(opened)) == ("file list", 5, [0, 2, 4])
    assert open_samples(str(named), num_classes=9).num_classes == 9
    bare = open_samples(str(named), labelled=False)
    assert (labels(bare), bare.samples[1].name) == ([None] * 3, "im ages/1.png")
    with pytest.raises(ValueError, match="need labels below 4, got 4: .*named.txt"):
        open_samples(str(named), num_classes=4)


def test_labels_of_a_list_are_not_read_where_nobody_asks(tmp_path):
    """Not even wrong ones: reading a billion takes hours."""
    put(tmp_path / "a b.png")
    put(tmp_path / "c.png")
    (tmp_path / "list.txt").write_text("a b.png 3\nc.png -1\na b.png what\n")
    bare = open_samples(str(tmp_path / "list.txt"), labelled=False)
    assert bare.num_classes is None
    names = ["a b.png", "c.png", "a b.png"]
    assert [(bare.samples[i].name, bare.samples[i].label) for i in range(3)] == [
        (name, None) for name in names
    ]
    assert list(listing(bare.samples).names) == names
    with pytest.raises(ValueError, match="need labels of 0 or more, got -1: line 2"):
        open_samples(str(tmp_path / "list.txt"))


def test_text_lists_that_are_none(tmp_path):
    put(tmp_path / "0.png")
    path = tmp_path / "list.txt"
    for text, sentence in (
        ("gone.png 1\n", "got 'gone.png 1' in the first line of .*list.txt, which is no file"),
        ("0.png 1\n0.png\n", "got '0.png': line 2 of"),
        ("0.png -1\n", "need labels of 0 or more, got -1: line 1 of"),
        ("", "the empty file"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=sentence):
            open_samples(str(path))


@pytest.mark.parametrize("name", ["mine.json", "sets.yaml"])
def test_annotations_are_no_list_of_images(tmp_path, name):
    (tmp_path / name).write_text('{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match=f"need images, got .*{name}, which is no list of them"):
        open_samples(str(tmp_path / name))


def test_array_lists(tmp_path):
    for i in range(3):
        put(tmp_path / f"{i}.png", i)
    np.save(tmp_path / "train_images.npy", np.array([f"{i}.png" for i in range(3)]))
    bare = open_samples(str(tmp_path / "train_images.npy"))
    assert (bare.kind, labels(bare)) == ("array list", [None] * 3)
    np.save(tmp_path / "train_labels.npy", np.array([4, 0, 2]))
    opened = open_samples(str(tmp_path / "train_images.npy"), labelled=True)
    assert (opened.num_classes, labels(opened)) == (5, [4, 0, 2])
    again = pickle.loads(pickle.dumps(opened.samples))
    assert again[2].image == opened.samples[2].image
    assert len(pickle.dumps(opened.samples)) < 1000
    np.save(tmp_path / "train_labels.npy", np.array([4, -1, 2]))
    with pytest.raises(ValueError, match="need labels of 0 or more, got -1: row 1 of"):
        open_samples(str(tmp_path / "train_images.npy"))
    np.save(tmp_path / "train_labels.npy", np.array([4, 1]))
    with pytest.raises(ValueError, match="a whole number for each of the 3 paths"):
        open_samples(str(tmp_path / "train_images.npy"))
    np.save(tmp_path / "list.npy", np.array(["a", None], dtype=object))
    with pytest.raises(ValueError, match="without Python objects, got .*list.npy"):
        open_samples(str(tmp_path / "list.npy"))


@pytest.mark.parametrize("zipped", [True, False])
def test_idx(tmp_path, zipped):
    mnist(tmp_path, zipped)
    assert find_splits(str(tmp_path)) == ("train", "test")
    train, val = open_train_and_val(str(tmp_path), labelled=True)
    assert (train.kind, train.num_classes) == ("IDX", 4)
    assert (labels(train), labels(val)) == ([0, 1, 2, 3, 0, 1], [0, 1, 2])
    pixels = train.samples[0].image
    assert pixels.shape == (28, 28, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()
    with pytest.raises(ValueError, match=r"need a label of 0..2, got 3: sample 3 of .*labels"):
        open_samples(str(tmp_path), split="train", num_classes=3)


def test_idx_without_images_or_twice(tmp_path):
    mnist(tmp_path)
    (tmp_path / "emnist-train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(ValueError, match="need one file of train images in"):
        open_samples(str(tmp_path), split="train")
    for path in tmp_path.glob("*train-images*"):
        path.unlink()
    with pytest.raises(ValueError, match="need images beside train-labels-idx1-ubyte.gz"):
        open_samples(str(tmp_path), split="train")


def test_cifar(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(1, 6):
        rows = rng.integers(0, 256, (2, 3073), dtype=np.uint8)
        rows[:, 0] = (i, 9)
        (tmp_path / f"data_batch_{i}.bin").write_bytes(rows.tobytes())
    (tmp_path / "test_batch.bin").write_bytes(rows[:1].tobytes())
    names = [f"name{i}" for i in range(10)]
    (tmp_path / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    train, val = open_train_and_val(str(tmp_path), labelled=True)
    assert (train.kind, train.num_classes, train.classes) == ("CIFAR-10", 10, tuple(names))
    assert labels(train) == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]
    np.testing.assert_array_equal(val.samples[0].image[..., 1].ravel(), rows[0, 1025:2049])
    (tmp_path / "train.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="need one CIFAR in .*, got CIFAR-10 and CIFAR-100"):
        open_samples(str(tmp_path), split="train")


def test_cifar_100_takes_the_fine_label(tmp_path):
    rows = np.zeros((2, 3074), np.uint8)
    rows[:, 1] = (7, 99)
    (tmp_path / "train.bin").write_bytes(rows.tobytes())
    opened = open_samples(str(tmp_path))
    assert (opened.kind, opened.num_classes, labels(opened)) == ("CIFAR-100", 100, [7, 99])


def test_cifar_in_pickles_is_refused(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match="need CIFAR's binary version"):
        open_samples(str(tmp_path))


@pytest.fixture
def photos(tmp_path):
    class_folders(tmp_path / "photos", each=3)
    return open_samples(str(tmp_path / "photos")).samples


def test_shards(tmp_path, photos):
    write_shards(photos, tmp_path / "tars", samples_per_shard=4)
    for source in (
        str(tmp_path / "tars"),
        str(tmp_path / "tars" / "shard-{000000..000001}.tar"),
        f"file://{tmp_path}/tars/shard-{{000000..000001}}.tar",
    ):
        opened = open_samples(source, labelled=True)
        assert (opened.kind, opened.num_classes) == ("shards", 2)
        assert labels(opened) == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="need labels below 1, got 1"):
        open_samples(source, num_classes=1)
    bare = open_samples(source, labelled=False)
    assert (bare.num_classes, labels(bare)) == (None, [None] * 6)


def test_shards_named_by_split(tmp_path, photos):
    write_shards(photos, tmp_path / "tars", prefix="photos-train")
    write_shards(photos, tmp_path / "tars", prefix="photos-validation", samples_per_shard=3)
    (tmp_path / "tars" / "photos-validation-000001.tar").unlink()
    assert find_splits(str(tmp_path / "tars")) == ("train", "val")
    assert len(open_samples(str(tmp_path / "tars"), split="train").samples) == 6
    assert len(open_samples(str(tmp_path / "tars"), split="test").samples) == 3


def test_bad_shards(tmp_path, photos):
    (shard,) = write_shards(photos, tmp_path / "tars")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:1500])
    with pytest.raises(ValueError, match="shard .*shard-000000.tar is truncated"):
        open_samples(str(tmp_path / "tars"))
    half = [sample._replace(label=None if i else 0) for i, sample in enumerate(photos)]
    write_shards(half, tmp_path / "half")
    with pytest.raises(ValueError, match="in every sample or in none, got 5 of 6 without one"):
        open_samples(str(tmp_path / "half"))
    assert len(open_samples(str(tmp_path / "half"), labelled=False).samples) == 6
    put(tmp_path / "half" / "a.png")
    with pytest.raises(ValueError, match="one kind of data in .*shards .* and images"):
        open_samples(str(tmp_path / "half"))
    write_shards([s._replace(label=None) for s in half], tmp_path / "none")
    with pytest.raises(ValueError, match="need labels, got shards without"):
        open_samples(str(tmp_path / "none"), labelled=True)


def test_scenes():
    train, val = open_train_and_val("scenes:size=32,count=20,val_count=8,seed=5", labelled=True)
    assert (len(train.samples), len(val.samples), train.num_classes) == (20, 8, len(train.classes))
    assert labels(train) == [i % train.num_classes for i in range(20)]
    first, other = train.samples[0], val.samples[0]
    assert first.image.shape == (32, 32, 3)
    assert (first.image != other.image).any()
    again = open_samples("scenes:size=32,count=20,seed=5", split="train").samples[0]
    np.testing.assert_array_equal(first.image, again.image)
    assert find_splits("scenes") == ("train", "val", "test")
    small = open_samples("scenes:shapes=star+cup,colours=red+blue,count=4", split="train")
    assert (small.classes, labels(small)) == (("star", "cup"), [0, 1, 0, 1])
    assert open_samples("scenes", split="val").description.startswith("scenes (val): 1,000")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("scenes:seeds=3", "unknown key .* 'seeds'. Did you mean seed"),
        ("scenes:count=many", "need a whole number of 0 or more for count, got 'many'"),
        ("scenes:count=0", "need at least one scene"),
        ("scenes:by=taste", "need by from shape, colour, shape_colour, got 'taste'"),
        ("scenes:size=4", "need an image_size of 16 to 2048 pixels, got 4"),
        ("scenes:shapes=star+cub", "unknown shape 'cub'"),
        ("", "or 'scenes', got an empty name"),
        ("/no/such/place", "got /no/such/place: no such file or folder"),
    ],
)
def test_bad_sources(source, sentence):
    with pytest.raises(ValueError, match=sentence):
        open_samples(source, split="train")


def test_folders_of_nothing(tmp_path):
    with pytest.raises(ValueError, match="got a folder with nothing"):
        open_samples(str(tmp_path))
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="got a folder with only files such as a.parquet"):
        open_samples(str(tmp_path))
    class_folders(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="at least one image in every class, got none in .*empty"):
        open_samples(str(tmp_path))
    put(tmp_path / "cat" / "x.jpg", format="JPEG")
    with pytest.raises(ValueError, match="got the one image"):
        open_samples(str(tmp_path / "cat" / "x.jpg"))


def test_what_is_opened_decodes(tmp_path):
    class_folders(tmp_path)
    image = open_samples(str(tmp_path)).samples[3].image
    np.testing.assert_array_equal(decode_image(image), noise_picture(5, 4, 11))


@pytest.mark.parametrize("label", ["1000000", "99999999999999999999"])
def test_a_label_that_is_no_class_is_refused(tmp_path, label):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "list.txt").write_text(f"a.png 0\na.png {label}\n")
    with pytest.raises(ValueError, match=f"need labels below 1,000,000, .*got {label}: "):
        open_samples(str(tmp_path / "list.txt"), labelled=True)
