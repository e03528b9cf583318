import numpy as np
import pytest

from eyespot.data.few_labels import few_of, listing, read_name_list
from eyespot.data.held_out import held_out
from eyespot.data.open import open_samples
from eyespot.data.samples import Sample
from eyespot.data.write_shards import write_shards
from eyespot.tasks.labelled import FewLabels, open_labelled
from eyespot.tasks.run import Run
from tests.data.pictures import noise_picture


@pytest.fixture
def samples():
    return [Sample(noise_picture(8, 8, i), i % 3, f"c{i % 3}/{i:03}.png") for i in range(30)]


def test_every_kind_of_data_lists_what_it_gives(samples, tmp_path):
    write_shards(samples, tmp_path / "shards", samples_per_shard=7)
    shards = open_samples(str(tmp_path / "shards"), labelled=True).samples
    images = tmp_path / "folder"
    for sample in samples:
        path = images / sample.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"never opened")
    (images / "list.txt").write_text("".join(f"{s.name} {s.label}\n" for s in samples))
    folder = open_samples(str(images), labelled=True).samples
    listed = open_samples(str(images / "list.txt"), labelled=True).samples
    for kind in (samples, shards, held_out(samples, 5)[0]):
        found = listing(kind)
        rows = [kind[i] for i in range(len(kind))]
        assert list(found.names) == [row.name for row in rows]
        assert found.labels.tolist() == [row.label for row in rows]
    assert list(listing(listed).names) == [sample.name for sample in samples]
    assert listing(listed).labels.tolist() == [sample.label for sample in samples]
    assert sorted(listing(folder).names) == sorted(sample.name for sample in samples)
    assert listing(folder).labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10


def test_a_published_list_chooses_by_file_name(samples, tmp_path):
    names = listing(samples).names
    (tmp_path / "1percent.txt").write_text("017.png\nc1/004.png\n\n000.png\n017.png\n")
    chosen = read_name_list(tmp_path / "1percent.txt", names)
    assert chosen.tolist() == [0, 4, 17]
    assert [row.name for row in (few_of(samples, chosen)[i] for i in range(3))] == [
        "c0/000.png", "c1/004.png", "c2/017.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n", "a file name a line, got none"),
        ("a/000.png\nb/100.png\n", r"once in the data, got 1 of 2 otherwise: 100.png \(0 times\)"),
    ],
)
def test_a_list_of_other_images_is_refused(samples, tmp_path, text, sentence):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_name_list(tmp_path / "list.txt", listing(samples).names)


def test_a_share_of_labels_is_taken_of_each_class_and_nested(samples, tmp_path):
    write_shards(samples, tmp_path / "train", samples_per_shard=10)
    write_shards(samples[:6], tmp_path / "val", samples_per_shard=10)
    run = Run(str(tmp_path), tmp_path / "out")
    names = {}
    for share in (0.01, 0.2, 0.5):
        train, val = open_labelled(run, 0, FewLabels(share, seed=3))
        rows = [train.samples[i] for i in range(len(train.samples))]
        counts = np.bincount([row.label for row in rows], minlength=3)
        assert counts.tolist() == [max(1, round(share * 10))] * 3
        names[share] = {row.name for row in rows}
        assert len(val.samples) == 6
        assert train.description.startswith(f"{len(rows)} labels of ")
    assert names[0.01] < names[0.2] < names[0.5]
    other = open_labelled(run, 0, FewLabels(0.2, seed=4))[0].samples
    assert {other[i].name for i in range(len(other))} != names[0.2]
