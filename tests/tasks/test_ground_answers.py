"""Questions beside grounding: training, exact resume, accuracy by hand, files, and bad answers."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot.data.annotations import CaptionedImage
from eyespot.data.answers import CLEVR_WORDS, AnswerWords
from eyespot.data.scenes import write_grounding
from eyespot.errors import RecipeError
from eyespot.evals.answers import ChosenAnswer
from eyespot.predict.answerer import Answerer
from eyespot.recipes import answer
from eyespot.tasks.ground_answers import (
    Answered,
    Questions,
    answer_all,
    answer_loss,
    answer_metrics,
    answer_terms,
    question_counts,
    write_answers,
)
from eyespot.tasks.ground_parts import Words
from eyespot.tasks.run import Place, Run, evaluate, prepare, train
from eyespot.train import loop
from eyespot.weights.files import read_file
from tests.distributed import run_ranks

HERE = Place(torch.device("cpu"), "none", 0, None)


def smoke(**changes):
    return replace(answer.smoke(), **changes)


def run(out, **more):
    return Run(**{"data": "scenes", "out": out, "device": "cpu", "workers": 0, **more})


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_smoke_leaves_weights_that_answer(tmp_path):
    outcome = train(smoke(), run(tmp_path / "a", log_every=1))
    assert outcome.finished
    names = {"accuracy", "word_accuracy", "type_accuracy", "most_frequent", "average_accuracy"}
    assert names <= outcome.metrics.keys()
    assert outcome.metrics["miss"] == 1 - outcome.metrics["accuracy"]
    rows = [row for row in lines(tmp_path / "a") if "loss" in row]
    assert len(rows) == 8
    assert all(row["loss_answer_type"] > 0 and row["loss_ce"] > 0 for row in rows)
    assert len(json.loads((tmp_path / "a" / "results/scenes/answers.json").read_text())) == 8
    answerer = Answerer.from_pretrained(tmp_path / "a" / "weights.safetensors")
    said = answerer(torch.zeros(96, 96, 3, dtype=torch.uint8).numpy(), "Is there a red cup?")
    assert said.answer in answerer.words.words[said.answer_type]
    again = evaluate(smoke(), run(tmp_path / "a"))
    assert again == pytest.approx(outcome.metrics)
    other = evaluate(smoke(), run(tmp_path / "a", val="scenes:composition=b,val_count=5"))
    assert other["questions"] == 5


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path):
    recipe = smoke(words=Words(steps=2))
    train(recipe, run(tmp_path / "whole"))
    half = run(tmp_path / "half", checkpoint_every=3)
    real, steps = loop._StopRequest.agreed, []

    def stop_at_five(self, step, every):
        steps.append(step)
        return step == 5 and steps.count(5) == 1

    loop._StopRequest.agreed = stop_at_five
    try:
        assert not train(recipe, half).finished
        assert train(recipe, half).finished
    finally:
        loop._StopRequest.agreed = real
    whole, again = (
        read_file(tmp_path / name / "weights.safetensors").tree for name in ("whole", "half")
    )
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert (tmp_path / "whole" / "results/scenes/answers.json").read_bytes() == (
        tmp_path / "half" / "results/scenes/answers.json"
    ).read_bytes()


def test_answers_alone_leave_the_boxes_as_they_were(tmp_path):
    recipe = replace(answer.clevr_humans_smoke(), average=0.0, epochs=1, evaluate_every=1)
    torch.manual_seed(recipe.seed)
    before = prepare(recipe, run(tmp_path / "b"), HERE).job.modules["model"].state_dict()
    train(recipe, run(tmp_path / "a", log_every=1))
    after = read_file(tmp_path / "a" / "weights.safetensors").tree
    assert torch.equal(after["class_embed.weight"], before["class_embed.weight"])
    assert not torch.equal(after["qa_embed.weight"], before["qa_embed.weight"])
    assert not torch.equal(after["input_proj.weight"], before["input_proj.weight"])
    (row, *_) = (row for row in lines(tmp_path / "a") if "loss" in row)
    assert "loss_ce" not in row
    terms = [value for name, value in row.items() if name.startswith("loss_answer_")]
    assert row["loss"] == pytest.approx(sum(terms), rel=1e-5)


def asked(number, question, answer=None, **more):
    told = {} if answer is None else {"answer": answer}
    return CaptionedImage(number, "a", 9, 9, question, (), {**told, **more})


def test_a_batch_of_losses_by_hand():
    records = [asked(0, "a", "yes"), asked(1, "b", "red"), asked(2, "c", "7"), asked(3, "d", "no")]
    logits = {
        "type": torch.tensor([[2.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0]]),
        "binary": torch.tensor([1.0, 9, 9, 2]),
        "attr": torch.zeros(4, 15),
        "reg": torch.zeros(4, 20),
    }
    counts = question_counts(records, CLEVR_WORDS, HERE.device)
    expected_counts = {"type": 4, "binary": 2, "attr": 1, "reg": 1}
    assert {name: float(count) for name, count in counts.items()} == expected_counts
    typed = Questions(weight=3.0, weighted="type")
    total, terms = answer_loss(logits, records, CLEVR_WORDS, typed, counts)
    log3 = math.log(3)
    kind = (math.log(math.exp(2) + 2) - 2 + log3 + math.log(math.e + 2) - 1) / 4
    kind += math.log(math.e + 2) / 4
    binary = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2
    assert terms["loss_answer_type"].item() == pytest.approx(kind, rel=1e-6)
    assert terms["loss_answer_binary"].item() == pytest.approx(binary, rel=1e-6)
    assert terms["accuracy_answer_total"].item() == pytest.approx(1 / 4)
    expected = 3 * kind + binary + math.log(15) + math.log(20)
    assert total.item() == pytest.approx(expected, rel=1e-6)
    every, _ = answer_loss(logits, records, CLEVR_WORDS, Questions(weight=25.0), counts)
    assert every.item() == pytest.approx(25 * (expected - 2 * kind), rel=1e-6)
    assert list(terms) == answer_terms(CLEVR_WORDS)


def test_one_head_for_all():
    words = AnswerWords({"": ("a", "b", "c")})
    records = [asked(0, "x", "b"), asked(1, "y", "c")]
    counts = question_counts(records, words, HERE.device)
    total, terms = answer_loss({"": torch.zeros(2, 3)}, records, words, Questions(2.0), counts)
    assert total.item() == pytest.approx(2 * math.log(3))
    assert list(terms) == ["loss_answer_total", "accuracy_answer_total"]


GQA = AnswerWords({"obj": ("no", "yes", "unknown"), "attr": ("red", "yes", "unknown")})


def answered(said, truth, question_type, kind=None):
    return Answered(ChosenAnswer(*said, 1.0), truth, "q?", None, question_type, kind)


def test_accuracy_equals_a_count_by_hand():
    """Right type and word; right word from the wrong type; unknown; wrong; and one without."""
    metrics = answer_metrics(
        {
            0: answered(("obj", "yes"), "yes", "obj", "exist"),
            1: answered(("attr", "yes"), "yes", "obj", "exist"),
            2: answered(("attr", "unknown"), "mauve", "attr", "query"),
            3: answered(("attr", "red"), "yes", "attr", "query"),
            4: answered(("obj", "no"), None, None),
            5: answered(("attr", "unknown"), "unknown", "attr", "query"),
        },
        GQA,
    )
    assert metrics == {
        "questions": 6,
        "accuracy": 3 / 5,
        "accuracy_obj": 1 / 2,
        "accuracy_attr": 2 / 3,
        "type_accuracy": 4 / 5,
        "accuracy_kind_exist": 1 / 2,
        "accuracy_kind_query": 2 / 3,
        "word_accuracy": 2 / 5,
        "most_frequent": 2 / 5,
        "miss": pytest.approx(2 / 5),
    }
    assert answer_metrics({4: answered(("obj", "no"), None, None)}, GQA) == {"questions": 1}
    with pytest.raises(ValueError, match="unknown answer 'x'.*the answer to 'q.'"):
        answer_metrics({0: answered(("attr", "red"), "x", None)}, CLEVR_WORDS)


class Says(nn.Module):
    """A network whose answers are given, a batch after the other."""

    def __init__(self, batches):
        super().__init__()
        self.batches = iter(batches)

    def forward(self, *_):
        return next(self.batches)


def test_evaluation_reads_what_the_network_says(tmp_path):
    """Every question of the validation scenes, answered from planted logits: half of them right."""
    prepared = prepare(smoke(eval_batch_size=3), run(tmp_path / "a"), HERE)
    training = prepared.evaluate.args[0]
    words, outputs, right = training.answering.words, [], 0
    for batch in training.data.test_batches([]):
        logits = {
            name: torch.zeros(len(batch.captions), *([len(w)] if w != ("no", "yes") else []))
            for name, w in words.by_head().items()
        }
        for row, (place, record) in enumerate(zip(batch.indices, batch.records, strict=True)):
            type_id, number = words.encode(record.more["answer"], record.more["question_type"])
            wish = int(place) % 2 == 0
            right += wish
            logits["type"][row, type_id if wish else (type_id + 1) % 7] = 5
            head = logits[words.types[type_id]]
            head[row] = head[row].fill_(2 * number - 1) if head.ndim == 1 else head[row]
            if head.ndim == 2:
                head[row, number] = 5
        outputs.append(Output(logits))
    prepared.job.modules["model"] = prepared.job.modules["average"] = None
    found = answer_all(
        Says(outputs), training.tokenizer, training.data.test_batches([]), words, HERE.device
    )
    assert sorted(found) == list(range(8))
    assert answer_metrics(found, words)["accuracy"] == right / 8 == 0.5


class Output:
    def __init__(self, logits):
        self.answer_logits = logits


def test_results_are_the_servers_formats(tmp_path):
    clevr = {2: answered(("obj", "no"), None, None), 0: answered(("obj", "yes"), "no", None)}
    write_answers(clevr, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == ["yes", "no"]
    gqa = {place: one._replace(question_id=10 + place) for place, one in clevr.items()}
    write_answers(gqa, tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text()) == [
        {"questionId": "10", "prediction": "yes"},
        {"questionId": "12", "prediction": "no"},
    ]


def scenes_file(folder, **changes):
    """Questions about scenes as a file, with changes of every image's record."""
    write_grounding(folder, answer.smoke().scenes.world, seed=0, count=4, questions_each=3)
    path = folder / "questions.json"
    data = json.loads(path.read_text())
    for number, image in enumerate(data["images"]):
        image.update({key: make(number, image) for key, make in changes.items()})
    path.write_text(json.dumps(data))
    return str(path)


def test_files_with_question_ids_and_a_vocabulary_of_their_own(tmp_path):
    file = scenes_file(tmp_path / "data", questionId=lambda number, _: f"q{number}")
    words = {"answer_binary": {"yes": 0, "no": 1}, "answer_count": {"1": 0, "unknown": 1}}
    words |= {f"answer_{n}": {"unknown": 0, "red": 1} for n in ("attr", "obj", "cat", "rel")}
    words["answer_global"] = {"plain": 1, "unknown": 0}
    (tmp_path / "words.json").write_text(json.dumps(words))
    network = replace(answer.smoke().network, answers=str(tmp_path / "words.json"))
    recipe = smoke(network=network, epochs=1, evaluate_every=1)
    outcome = train(recipe, run(tmp_path / "a", data=file, val=file))
    assert 0 <= outcome.metrics["word_accuracy"] <= outcome.metrics["accuracy"] <= 1
    rows = json.loads((tmp_path / "a" / "results/questions/answers.json").read_text())
    assert [row["questionId"] for row in rows] == [f"q{i}" for i in range(len(rows))]
    known = {word for of_type in words.values() for word in of_type}
    assert {row["prediction"] for row in rows} <= known


def test_clevr_humans_is_trained_from_its_own_file(tmp_path):
    file = scenes_file(tmp_path / "data")
    from PIL import Image

    for number in range(8):
        Image.new("RGB", (480, 320), (number, 9, 9)).save(
            tmp_path / "data/images" / f"{number}.png"
        )
    questions = [
        {"question": f"Is it {n}?", "answer": ("yes", "3", "red")[n % 3],
         "image_filename": f"{n}.png", "split": "val"}
        for n in range(8)
    ]  # fmt: skip
    path = Path(file).parent / "humans.json"
    path.write_text(json.dumps({"questions": questions}))
    published = answer.clevr_humans()
    recipe = smoke(
        network=replace(answer.smoke().network, answers="clevr", short_side_px=96),
        questions=published.questions,
        frozen=published.frozen,
        epochs=1,
        evaluate_every=1,
    )
    outcome = train(recipe, run(tmp_path / "a", data=str(path), val=str(path)))
    assert outcome.metrics["questions"] == 8
    assert len(json.loads((tmp_path / "a" / "results/humans/answers.json").read_text())) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"answer": lambda n, image: "mauve" if n == 5 else image["answer"]},
            "unknown answer 'mauv",
        ),
        ({"answer": lambda n, image: None}, "unknown answer 'None'"),
    ],
)
def test_an_answer_that_cannot_be_said_stops_the_run_before_it_begins(tmp_path, changes, message):
    file = scenes_file(tmp_path / "data", **changes)
    with pytest.raises(ValueError, match=f"{message}.*the answer to"):
        train(smoke(), run(tmp_path / "a", data=file, val=file))
    assert not (tmp_path / "a").exists()


def test_a_question_without_an_answer_is_named(tmp_path):
    write_grounding(tmp_path / "data", answer.smoke().scenes.world, seed=0, count=8)
    file = str(tmp_path / "data" / "captions.json")
    with pytest.raises(ValueError, match="need an answer to every question, got none to"):
        train(smoke(), run(tmp_path / "a", data=file, val=file))


def test_recipes_that_cannot_be_run(tmp_path):
    with pytest.raises(RecipeError, match="got 'gqa.json': no such file"):
        train(
            smoke(network=replace(answer.smoke().network, answers="gqa.json")), run(tmp_path / "a")
        )
    with pytest.raises(RecipeError, match="got nothing to learn"):
        train(
            smoke(
                network=replace(answer.smoke().network, answers="none"),
                questions=Questions(grounding=False),
            ),
            run(tmp_path / "b"),
        )
    words = tmp_path / "flat.json"
    words.write_text(json.dumps({"yes": 0, "no": 1}))
    with pytest.raises(RecipeError, match='need questions.weighted "all"'):
        train(
            smoke(
                network=replace(answer.smoke().network, answers=str(words)),
                questions=Questions(weighted="type"),
            ),
            run(tmp_path / "c"),
        )


def test_the_weights_of_the_package_begin_a_run(tmp_path):
    recipe = replace(answer.scenes_small(), scenes=answer.smoke().scenes)
    prepared = prepare(recipe, run(tmp_path / "a"), HERE)
    assert any("new weights for answer_attr_head" in note for note in prepared.notes)
    with pytest.raises(
        ValueError, match="unknown weights 'scenes-smal'. Did you mean scenes-small"
    ):
        prepare(replace(recipe, start_from="scenes-smal"), run(tmp_path / "a"), HERE)


def spread(recipe, out):
    train(recipe, run(Path(out), log_every=1))
    return []


@pytest.mark.slow
@pytest.mark.parametrize("alone", [False, True])
def test_two_ranks_equal_one(tmp_path, alone):
    """Frozen norms, as batch statistics are a rank's own; no alignment loss, which sees padding."""
    small = answer.clevr_humans_smoke() if alone else answer.smoke()
    recipe = replace(
        small,
        network=replace(small.network, frozen_norms=True, alignment_dim=0),
        epochs=1,
        evaluate_every=1,
        average=0.0,
    )
    spread(recipe, tmp_path / "one")
    run_ranks(spread, recipe, str(tmp_path / "two"), world_size=2)
    one, two = ([row for row in lines(tmp_path / name) if "loss" in row] for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for row, other in zip(one, two, strict=True):
        assert_close(other["loss"], row["loss"], rtol=1e-3, atol=0)
        assert_close(other["gradient_norm"], row["gradient_norm"], rtol=1e-3, atol=0)
    first, second = (
        json.loads((tmp_path / name / "results/scenes/answers.json").read_text())
        for name in ("one", "two")
    )
    assert first == second
