import pytest

from eyespot.cli.progress import Progress


def test_the_rest_is_told_from_what_is_done(monkeypatch, capsys):
    clock = iter([100.0, 105.0, 130.0, 140.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = Progress("images")
    for done in (10, 60, 80):  # after 5 s, which is too soon to say anything, 30 s and 40 s
        progress(done, 80)
    assert capsys.readouterr().err.splitlines() == [
        "60 of 80 images, 2.00 a second, ETA 10s",
        "80 of 80 images, 2.00 a second",
    ]


def test_a_terminal_keeps_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    clock = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = Progress("shards")
    progress(50, 100)
    progress(100, 100)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.count("\r\x1b[K") == 2
    assert said.endswith("100 of 100 shards, 50 a second\n")


@pytest.mark.parametrize("done", [0, 1])
def test_a_clock_that_stands_still_divides_nothing_by_zero(monkeypatch, done):
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    Progress("images")(done, 1)
