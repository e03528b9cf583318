import pickle

import pytest

from eyespot.data import samples
from eyespot.data.decode import decode_image
from eyespot.data.folders import FileList, ImageFolder
from tests.data.pictures import encode, smooth_picture


@pytest.fixture
def root(tmp_path):
    for name in ("cat/2.JPEG", "cat/1.png", "ant/deep/9.jpg", "bee/a b.webp"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        format = {".JPEG": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[path.suffix]
        path.write_bytes(encode(smooth_picture(8, 8 + len(name)), format))
    return tmp_path / "images"


def test_folders_are_classes_in_sorted_order(root):
    data = ImageFolder(root)
    assert data.classes == ("ant", "bee", "cat")
    assert [(item.name, item.label) for item in data] == [
        ("ant/deep/9.jpg", 0),
        ("bee/a b.webp", 1),
        ("cat/1.png", 2),
        ("cat/2.JPEG", 2),
    ]
    assert data[2].image == (root / "cat/1.png").read_bytes()
    assert decode_image(data[0].image).shape == (8, 22, 3)
    assert pickle.loads(pickle.dumps(data))[3] == data[3]
    assert data.num_ignored == 0


def test_other_files_are_left_out_and_counted(root):
    for name in ("cat/notes.txt", "cat/.hidden.png", ".git/1.png", "readme.png.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    assert len(ImageFolder(root)) == 4
    assert ImageFolder(root).num_ignored == 1
    assert ImageFolder(root, labelled=False).num_ignored == 2


def test_without_labels_folders_mean_nothing(root):
    (root / "0.png").write_bytes((root / "cat/1.png").read_bytes())
    data = ImageFolder(root, labelled=False)
    assert [item.name for item in data][:2] == ["0.png", "ant/deep/9.jpg"]
    assert {item.label for item in data} == {None}
    assert data.classes == ()


def test_linked_classes_are_followed(root, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "dog").symlink_to(root / "cat")
    assert [item.name for item in ImageFolder(tmp_path / "linked")] == ["dog/1.png", "dog/2.JPEG"]
    (root / "cat" / "more").symlink_to(root / "ant" / "deep")
    assert ImageFolder(root)[2].name == "cat/1.png"
    assert ImageFolder(root)[4].name == "cat/more/9.jpg"


def test_folders_that_hold_no_data_set_are_refused(root):
    with pytest.raises(ValueError, match=r"need a folder of images, got .*nowhere"):
        ImageFolder(root / "nowhere")
    with pytest.raises(ValueError, match=r"a folder for each class in .*cat, got none"):
        ImageFolder(root / "cat")
    (root / "dodo").mkdir()
    with pytest.raises(ValueError, match=r"at least one image in every class, got none in .*dodo"):
        ImageFolder(root)
    with pytest.raises(ValueError, match="at least one image"):
        ImageFolder(root / "dodo", labelled=False)


def test_a_file_that_went_away_or_is_huge_is_named(root, monkeypatch):
    data = ImageFolder(root)
    (root / "cat/1.png").unlink()
    with pytest.raises(ValueError, match=r"got .*cat/1.png: no such file"):
        data[2]
    monkeypatch.setattr(samples, "MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match=r"at most 10 bytes, got \d+: .*2.JPEG"):
        data[3]


def test_a_list_of_paths(root):
    (root / "list.txt").write_text("cat/1.png\nbee/a b.webp\n")
    data = FileList(root / "list.txt")
    assert [(item.name, item.label) for item in data] == [
        ("cat/1.png", None),
        ("bee/a b.webp", None),
    ]
    assert data[1].image == (root / "bee/a b.webp").read_bytes()


def test_a_list_of_paths_and_labels_elsewhere(root, tmp_path):
    (tmp_path / "list.txt").write_text("cat/1.png 7\nbee/a b.webp\t0\n")
    data = FileList(tmp_path / "list.txt", root=root, num_classes=8)
    assert [(item.name, item.label) for item in data] == [("cat/1.png", 7), ("bee/a b.webp", 0)]
    assert pickle.loads(pickle.dumps(data))[1] == data[1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("cat/1.png", "need a path, white space and a label, got 'cat/1.png': line 2"),
        ("cat/1.png cat", "need a path, white space and a label, got 'cat/1.png cat'"),
        ("cat/1.png 3", r"need a label of 0..2, got 3: line 2 of .*list.txt"),
        ("cat/1.png -1", r"need a label of 0..2, got -1"),
        ("cat/5.png 1", r"got .*cat/5.png: no such file"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(root, row, message):
    (root / "list.txt").write_text(f"cat/1.png 0\n{row}\n")
    data = FileList(root / "list.txt", num_classes=3)
    assert data[0].label == 0
    with pytest.raises(ValueError, match=message):
        data[1]


def test_an_empty_list_is_refused(root):
    (root / "list.txt").write_text("")
    with pytest.raises(ValueError, match="need at least one line, got none"):
        FileList(root / "list.txt")
