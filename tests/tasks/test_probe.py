from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from eyespot.data.decode import decode_image
from eyespot.data.normalize import normalize
from eyespot.data.open import open_samples
from eyespot.evals.lowshot import label_subset
from eyespot.predict.embedder import Embedder
from eyespot.predict.export import export_features
from eyespot.tasks.backbone import Backbone, freeze
from eyespot.tasks.probe import KnnProbe, LowShotProbe, SvmProbe, measure
from eyespot.tasks.run import Run
from eyespot.weights.trunk import load_trunk
from tests.data.test_voc import write_voc
from tests.distributed import run_ranks
from tests.tasks.bars import write_bars

TAP = "s1@1x2"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("data") / "bars")


def run(folder, val="", out=Path()):
    return Run(folder, out, val, device="cpu", workers=0)


def embedder(model):
    return Embedder(load_trunk("random", model=model), taps=(TAP,), device="cpu")


def features(folder, model, split):
    samples = open_samples(folder, split=split).samples
    rows = [samples[i] for i in range(len(samples))]
    labels = np.array([row.label for row in rows])
    return embedder(model)([row.image for row in rows]).astype(np.float64), labels


@pytest.fixture(scope="module")
def tables(data):
    return [features(*data, split) for split in ("train", "test")]


def knn_by_hand(tables, k, temperature=0.07):
    (train, labels), (test, test_labels) = tables
    classifier = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / temperature)
    )
    return 100 * classifier.fit(train, labels).score(test, test_labels)


def test_neighbours_are_scikit_learns(data, tables):
    folder, model = data
    found = measure(KnnProbe(Backbone(model=model), TAP, ks=(1, 7, 20)), run(folder))
    for k in (1, 7, 20):
        assert found.metrics[f"top1_percent_k{k}"] == pytest.approx(knn_by_hand(tables, k))
    assert found.metrics["top1_percent_k1"] > 50  # chance: 33
    assert found.damaged == []


def test_leaving_one_out_needs_no_test_images(data, tables):
    folder, model = data
    found = measure(KnnProbe(Backbone(model=model), TAP, ks=(1,), leave_one_out=True), run(folder))
    train, labels = tables[0]
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)
    similar = unit @ unit.T - 2 * np.eye(len(unit))
    wanted = 100 * (labels[similar.argmax(1)] == labels).mean()
    assert found.metrics["top1_percent_k1"] == pytest.approx(wanted)


def test_few_labels_are_scikit_learns(data, tables):
    folder, model = data
    probe = LowShotProbe(
        Backbone(model=model), TAP, fractions=(0.4,), per_class=(5,), penalties=(1e-2,), draws=2
    )
    found = measure(probe, run(folder))
    (train, labels), (test, test_labels) = tables
    for name, choice in (("40_percent", {"fraction": 0.4}), ("5_per_class", {"per_class": 5})):
        scores = []
        for seed in (0, 1):
            few = label_subset(labels, seed=seed, **choice)
            scaler = StandardScaler().fit(train[few])
            model_ = LogisticRegression(C=1 / (1e-2 * len(few)), tol=1e-8, max_iter=5000)
            model_.fit(scaler.transform(train[few]), labels[few])
            scores.append(100 * model_.score(scaler.transform(test), test_labels))
        assert found.metrics[f"top1_percent_{name}"] == pytest.approx(np.mean(scores))
        assert found.metrics[f"top1_percent_std_{name}"] == pytest.approx(np.std(scores))
        assert found.metrics[f"labels_{name}"] == len(few)


def test_svms_on_all_and_on_few_images(data):
    folder, model = data
    costs = (0.1, 1.0, 10.0)
    found = measure(SvmProbe(Backbone(model=model), TAP, costs), run(folder)).metrics
    aps = [found[f"ap_percent_class{k}"] for k in range(3)]
    assert found["map_percent"] == pytest.approx(np.mean(aps))
    assert found["map_percent"] > 60
    assert found["largest_error"] <= 1e-5
    few = measure(
        SvmProbe(Backbone(model=model), TAP, costs, shots=(1, 16), draws=3), run(folder)
    ).metrics
    assert few["map_percent_1_shots"] < few["map_percent_16_shots"]
    assert few["map_lowest_1_shots"] <= few["map_percent_1_shots"] <= few["map_highest_1_shots"]


def test_voc_images_of_several_classes(data, tmp_path):
    rng = np.random.default_rng(0)
    for split, count, seed in (("trainval", 40, 1), ("test", 30, 2)):
        truths = rng.choice([1, -1, -1, 0], (count, 2))
        truths[:4] = 1
        write_voc(tmp_path, truths.tolist(), split, seed=seed)
    (tmp_path / "JPEGImages" / "test007.jpg").write_bytes(b"broken")
    found = measure(SvmProbe(Backbone(model=data[1]), TAP, (1.0, 10.0)), run(str(tmp_path)))
    assert found.metrics["map_percent"] > 60
    assert [row.name for row in found.damaged] == ["test007.jpg"]
    strict = replace(run(str(tmp_path)), max_bad=0.0)
    with pytest.raises(
        ValueError, match=r"at most 0\.0% damaged images, got 1 of 30, such as test"
    ):
        measure(SvmProbe(Backbone(model=data[1]), TAP, (1.0,)), strict)


def test_voc_features_are_vissls_pools_of_whole_images(tmp_path):
    """By hand: the image squeezed to 224 px, maps of res4 and res5 pooled by 8 and 6."""
    rng = np.random.default_rng(0)
    for split, count, seed in (("trainval", 12, 1), ("test", 8, 2)):
        truths = rng.choice([1, -1], (count, 2))
        truths[:6] = [[1, -1], [-1, 1]] * 3
        write_voc(tmp_path, truths.tolist(), split, seed=seed)
    backbone = Backbone(model="RegNetY-200MF", size_px=224, whole=True)
    frozen = freeze(backbone, ("s3@k8s3p0", "s4@k6s1p0"), torch.device("cpu"))
    network = frozen.trunk.network
    picture = decode_image((tmp_path / "JPEGImages/test000.jpg").read_bytes())
    (view,) = frozen.view(picture, seed=0, epoch=0, index=0)
    assert view.shape == (224, 224, 3)
    pixels = torch.from_numpy(np.ascontiguousarray(view))[None].permute(0, 3, 1, 2)
    images = normalize(pixels, mean=frozen.mean, std=frozen.std)
    maps = network.forward_intermediates(images, [3, 4])
    by_hand = [
        torch.stack(
            [
                m[:, :, y : y + k, x : x + k].mean((2, 3))
                for y in range(0, m.shape[2] - k + 1, stride)
                for x in range(0, m.shape[3] - k + 1, stride)
            ],
            -1,
        ).flatten(1)
        for m, k, stride in zip(maps, (8, 6), (3, 1), strict=True)
    ]
    for got, expected in zip(frozen.features(pixels), by_hand, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    found = measure(SvmProbe(backbone, "published", (1.0,)), run(str(tmp_path))).metrics
    of_taps = [found[f"map_percent of {tap}"] for tap in ("s3@k8s3p0", "s4@k6s1p0")]
    assert found["map_percent"] == max(of_taps)
    alone = measure(SvmProbe(backbone, "s4@k6s1p0", (1.0,)), run(str(tmp_path))).metrics
    assert alone["map_percent"] == pytest.approx(of_taps[1])
    few = SvmProbe(backbone, "published", (1.0,), shots=(2,), draws=2)
    assert "cost_2_shots of s3@k8s3p0" in measure(few, run(str(tmp_path))).metrics


def export(folder, model, out):
    for split in ("train", "test"):
        opened = open_samples(folder, split=split)
        export_features(embedder(model), opened.samples, out / split, facts={}, rows_per_shard=31)
    return str(out / "train"), str(out / "test")


def test_exported_features_give_the_same_numbers(data, tmp_path):
    train, test = export(*data, tmp_path)
    for probe in (
        KnnProbe(Backbone(model=data[1]), TAP, ks=(5,)),
        LowShotProbe(Backbone(model=data[1]), TAP, fractions=(0.5,), penalties=(1e-2,)),
    ):
        wanted = measure(probe, run(data[0])).metrics
        assert measure(probe, run(train, test)).metrics == pytest.approx(wanted)


def on_ranks(folder, model, train, test):
    backbone = Backbone(model=model)
    found = [
        measure(KnnProbe(backbone, TAP, ks=(3, 20)), run(folder)),
        measure(KnnProbe(backbone, TAP, ks=(3,), leave_one_out=True), run(folder)),
        measure(LowShotProbe(backbone, TAP, (0.3,), penalties=(1e-3, 1e-1)), run(train, test)),
        measure(SvmProbe(backbone, TAP, (1.0,)), run(folder)),
    ]
    return [each.metrics for each in found]


def test_ranks_measure_what_one_measures(data, tmp_path):
    arguments = (*data, *export(*data, tmp_path))
    wanted = on_ranks(*arguments)
    for found in run_ranks(on_ranks, *arguments):
        for got, expected in zip(found, wanted, strict=True):
            assert got == pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_measured_is_said(data, tmp_path):
    folder, model = data
    backbone = Backbone(model=model)
    train, test = export(folder, model, tmp_path)
    with pytest.raises(ValueError, match="k of 1 to 90, the features in the bank, got 200"):
        measure(KnnProbe(backbone, TAP), run(train, test))
    with pytest.raises(ValueError, match="folders of features both to learn from"):
        measure(KnnProbe(backbone, TAP), run(train))
    with pytest.raises(ValueError, match="unknown tap"):
        measure(KnnProbe(backbone, "pool"), run(train, test))
    with pytest.raises(ValueError, match="need 80 samples of every class, got 30"):
        measure(LowShotProbe(backbone, TAP, (), (80,)), run(train, test))
    with pytest.raises(ValueError, match="at least 96 positive images"):
        measure(SvmProbe(backbone, TAP, shots=(96,)), run(folder))
    other = Embedder(load_trunk("random", model=model), taps=("s1@2x2",), device="cpu")
    samples = open_samples(folder, split="test").samples
    export_features(other, samples, tmp_path / "other", facts={})
    for path in (tmp_path / "other").iterdir():  # as if it were another network's
        text = path.name.replace("s1@2x2", TAP)
        content = path.read_bytes().replace(b"s1@2x2", TAP.encode())
        path.unlink()
        (tmp_path / "other" / text).write_bytes(content)
    with pytest.raises(ValueError, match="one width to learn from and to test on, got 32 and 64"):
        measure(KnnProbe(backbone, TAP), run(train, str(tmp_path / "other")))


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        (KnnProbe(ks=(5, 0)), "ks of 1 or more, got 0"),
        (KnnProbe(temperature=float("nan")), "temperature of 1e-12 or more, got nan"),
        (SvmProbe(costs=(0.0, 1.0)), "costs of 1e-12 or more, got 0"),
        (SvmProbe(costs=()), "at least one cost"),
        (SvmProbe(shots=(2,), draws=0), "draws of 1 or more, got 0"),
        (SvmProbe(shots=(0,)), "shots of 1 or more, got 0"),
        (LowShotProbe(fractions=(0.1, 2.0)), "fractions of 1e-12 to 1, got 2"),
        (LowShotProbe(penalties=(-1.0, 1.0)), "penalties of 1e-12 or more, got -1"),
        (LowShotProbe(per_class=(0,)), "per_class of 1 or more, got 0"),
    ],
)
def test_numbers_out_of_range_are_said_before_any_image_is_read(probe, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure(probe, run("nowhere"))


@pytest.mark.parametrize(("leave_one_out", "most"), [(False, 90), (True, 89)])
def test_more_neighbours_than_images_are_refused_before_any_is_read(data, leave_one_out, most):
    folder, model = data
    probe = KnnProbe(Backbone(model=model), TAP, (5, most + 1), leave_one_out=leave_one_out)
    told = []
    with pytest.raises(ValueError, match=f"ks of 1 to {most}, .* got {most + 1}: .*smaller --ks"):
        measure(probe, run(folder), progress=lambda of: lambda done, total: told.append(of))
    assert told == []


def test_a_set_of_several_splits_may_be_tested_on(data, tmp_path):
    """Its images for testing are taken, whether it is named twice or once."""
    folder, model = data
    probe = KnnProbe(Backbone(model=model), TAP, ks=(5,))
    assert measure(probe, run(folder, folder)).metrics == measure(probe, run(folder)).metrics


def test_unlabelled_features_are_no_bank(data, tmp_path):
    samples = open_samples(data[0], split="train", labelled=False).samples
    export_features(embedder(data[1]), samples, tmp_path, facts={})
    with pytest.raises(ValueError, match="got -1; a probe needs labelled images"):
        measure(KnnProbe(Backbone(), TAP, ks=(1,)), run(str(tmp_path), str(tmp_path)))
    assert torch.is_grad_enabled()


def test_progress_ends_at_every_image(data):
    folder, model = data
    told = {}

    def progress(of):
        return lambda done, total: told.setdefault(of, []).append((done, total))

    measure(KnnProbe(Backbone(model=model), TAP, ks=(1,)), run(folder), progress=progress)
    counts = sorted(len(open_samples(folder, split=split).samples) for split in ("train", "test"))
    assert sorted(each[-1] for each in told.values()) == [(count, count) for count in counts]
