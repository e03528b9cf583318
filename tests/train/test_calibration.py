"""Lists of networks, and a journal that can be cut anywhere."""

from dataclasses import replace

import pytest
import torch

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.latency import pearson
from eyespot.train import calibration
from eyespot.train.calibration import Job, measure_networks, read_journal, read_networks
from eyespot.train.steps import Settings
from eyespot.train.timing import Measured

CPU = Settings(torch.device("cpu"))
JOBS = [Job("CIFAR-ResNet-20", 16), Job("CIFAR-ResNet-20", 32), Job("CIFAR-ResNet-32", 16)]


@pytest.fixture
def measured(monkeypatch):
    """Networks asked for, each answered with its own made-up time."""
    asked = []

    def measure(spec, **options):
        asked.append((sum(spec.depths), options["image_size"], options["batch"]))
        ms = float(len(asked))
        return Measured("d", "infer", "float32", False, False, 8, 1, ms, ms, ms, 3, None, 0.5)

    monkeypatch.setattr(calibration, "measure", measure)
    return asked


def go(journal, batch=2, settings=CPU):
    seen = []
    rows = measure_networks(
        JOBS, settings, batch=batch, journal=journal, budget_s=1.0,
        on_row=lambda row, known: seen.append(known),
    )  # fmt: skip
    return rows, seen


@pytest.mark.parametrize("preset", ["small", "large"])
def test_counts_of_a_preset_do_not_move_together(preset):
    costs = [complexity(zoo.spec(job.name), job.image_size) for job in read_networks(preset)]
    acts, flops, params = ([cost[k] for cost in costs] for k in (2, 1, 0))
    assert abs(pearson(acts, flops)) < 0.7
    assert abs(pearson(acts, params)) < 0.3
    families = {job.name.rpartition("-")[0] for job in read_networks(preset)}
    assert families == {"RegNetY", "RegNetZ", "EfficientNet", "ResNet", "ViT-P", "ViT-C"}


def test_lists_of_networks():
    assert read_networks("ResNet-50, ViT-C-1GF@128") == [
        Job("ResNet-50", 224),
        Job("ViT-C-1GF", 128),
    ]
    for text, words in (
        ("ResNet-51", "unknown model 'ResNet-51'"),
        ("ResNet-50@big", 'need "NAME@SIZE"'),
        ("ViT-C-1GF@100", "divisible by the patch size 16"),
        ("ResNet-50,ResNet-50@224", "got ResNet-50@224 twice"),
        ("", "unknown"),
    ):
        with pytest.raises(ValueError, match=words):
            read_networks(text)


def test_rows_carry_exact_counts(measured, tmp_path):
    rows, seen = go(tmp_path / "new" / "journal.jsonl")
    assert seen == [False] * 3
    assert measured == [(9, 16, 2), (9, 32, 2), (15, 16, 2)]
    sample = rows[1].sample
    cost = complexity(zoo.spec("CIFAR-ResNet-20"), 32)
    assert (sample.params, sample.flops, sample.acts) == cost
    assert (sample.batch, sample.ms, rows[1].load_average) == (2, 2.0, 0.5)


def test_a_finished_journal_is_not_measured_again(measured, tmp_path):
    first, _ = go(tmp_path / "j")
    again, seen = go(tmp_path / "j")
    assert again == first
    assert seen == [True] * 3
    assert len(measured) == 3


def test_another_setting_or_batch_is_measured_anew(measured, tmp_path):
    go(tmp_path / "j")
    go(tmp_path / "j", batch=4)
    go(tmp_path / "j", settings=replace(CPU, channels_last=True))
    assert len(measured) == 9
    assert len(read_journal(tmp_path / "j")) == 9


def test_cut_anywhere_it_goes_on_with_what_is_whole(measured, tmp_path):
    journal = tmp_path / "j"
    rows, _ = go(journal)
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(0, len(whole), 37):
        journal.write_bytes(whole[:cut])
        kept = [row for i, row in enumerate(rows) if len(b"".join(lines[: i + 1])) <= cut]
        again, seen = go(journal)
        assert seen == [True] * len(kept) + [False] * (3 - len(kept))
        assert again[: len(kept)] == kept
        assert [row.sample.name for row in read_journal(journal)] == [j.name for j in JOBS]


@pytest.mark.parametrize("line", ["{}", "[]", "rubbish", '{"setting": 1, "sample": 2}'])
def test_a_foreign_journal_is_named(tmp_path, line):
    journal = tmp_path / "j"
    journal.write_text(line + "\n")
    with pytest.raises(ValueError, match="whose line 1 is none"):
        read_journal(journal)
