import numpy as np
import pytest

from eyespot.data.check import check_images
from eyespot.data.samples import Sample
from tests.data.pictures import encode, noise_picture


class Pictures:
    """Twelve: ten of sizes (3 + i) x 4, one without a header, one cut short."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index == 11:
            raise ValueError("need a label, got none")
        format = "JPEG" if index % 2 else "PNG"
        data = encode(noise_picture(4, 3 + index, index), format)
        cut = {5: 4, 7: len(data) - 40}.get(index, len(data))
        return Sample(data[:cut], index % 3, f"{index}.x")


def test_headers():
    report = check_images(Pictures(), threads=2)
    assert [(bad.index, bad.name) for bad in report.bad] == [(5, "5.x"), (11, "11")]
    assert report.bad[0].reason.startswith("need an image of format")
    assert report.num_checked == 12
    assert report.formats == {"PNG": 6, "JPEG": 4}
    assert report.labels == {0: 4, 1: 4, 2: 2}
    assert report.side_px(0) == (3, 7, 13)  # of 3 4 5 6 7 9 10 11 12 13: 5 is bad
    assert report.side_px(1) == (4, 4, 4)


def test_decoding_finds_what_is_cut_short():
    report = check_images(Pictures(), decode=True)
    assert [bad.index for bad in report.bad] == [5, 7, 11]


def test_some_are_always_the_same():
    some = [check_images(Pictures(), count=5).sizes for _ in range(2)]
    assert some[0] == some[1]
    assert check_images(Pictures(), count=5).num_checked == 5
    assert check_images(Pictures(), count=99).num_checked == 12


def test_pixels_and_bombs():
    samples = [
        Sample(np.zeros((5, 6, 3), np.uint8), None, "a"),
        Sample(encode(noise_picture(9, 9), "PNG"), 0, "b"),
    ]
    report = check_images(samples, max_pixels=80)
    assert (report.sizes, report.formats, report.labels) == ({(6, 5): 1}, {"pixels": 1}, {})
    assert report.bad[0].reason == "need at most 80 pixels, got 9x9"


@pytest.mark.parametrize("counts", [[3], [3, 9], [1, 2, 3], [5, 5, 6, 7, 8, 8]])
def test_the_median_is_the_lower_middle(counts):
    samples = [Sample(np.zeros((1, side, 3), np.uint8), None, "") for side in counts]
    assert check_images(samples).side_px(0)[1] == sorted(counts)[(len(counts) - 1) // 2]
