import io
import random
import resource
import struct
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image, ImageOps

from eyespot.data.decode import decode_image, upright, upright_size
from eyespot.data.headers import jpeg_facts, read_header
from tests.data.pictures import encode, noise_picture, smooth_picture

LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {}), ("PPM", {})]


@pytest.mark.parametrize(("format", "options"), LOSSLESS, ids=[format for format, _ in LOSSLESS])
def test_lossless_formats_give_the_pixels_back(format, options):
    pixels = noise_picture(23, 37)
    data = encode(pixels, format, **options)
    assert read_header(data) == (format, 37, 23)
    decoded = decode_image(data)
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.flags.writeable


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_jpeg_equals_pil(options):
    data = encode(smooth_picture(61, 83), "JPEG", quality=92, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"x"}),
        ("GIF", {}),
        ("AVIF", {}),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (17, 300), (301, 16)])
def test_headers_tell_the_size(format, options, size):
    header = read_header(encode(smooth_picture(*size), format, **options))
    assert header == (format, size[1], size[0])


def test_palette_pictures_keep_their_colours():
    image = Image.fromarray(smooth_picture(20, 30)).quantize(64)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode_image(encode(image, "GIF")), expected)
    np.testing.assert_array_equal(decode_image(encode(image, "PNG")), expected)


def test_grey_and_black_and_white_are_repeated():
    grey = noise_picture(9, 7)[..., 0]
    for image in (Image.fromarray(grey), Image.fromarray(grey > 127)):
        pixels = decode_image(encode(image, "PNG"))
        assert (pixels == np.asarray(image.convert("L"))[..., None]).all()
    jpeg = encode(Image.fromarray(smooth_picture(16, 16)).convert("L"), "JPEG")
    assert decode_image(jpeg).shape == (16, 16, 3)


def test_sixteen_bits_keep_the_high_byte():
    values = np.random.default_rng(0).integers(0, 1 << 16, (11, 13), dtype=np.uint16)
    for format in ("PNG", "TIFF", "PPM"):
        pixels = decode_image(encode(Image.fromarray(values), format))
        assert (pixels == (values >> 8)[..., None]).all(), format


def test_cmyk_jpeg_equals_pil():
    image = Image.fromarray(smooth_picture(32, 40)).convert("CMYK")
    data = encode(image, "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)


def test_transparency_is_laid_on_white():
    rgba = np.random.default_rng(1).integers(0, 256, (12, 10, 4), dtype=np.uint8)
    alpha = rgba[..., 3:] / 255.0
    expected = rgba[..., :3] * alpha + 255.0 * (1 - alpha)
    pixels = decode_image(encode(Image.fromarray(rgba), "PNG"))
    assert np.abs(pixels - expected).max() <= 1

    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    for format in ("PNG", "GIF"):
        pixels = decode_image(encode(palette, format, transparency=0))
        assert pixels.tolist() == [[[255] * 3, [200, 100, 50]], [[200, 100, 50], [255] * 3]]


def test_floating_point_pixels_are_refused():
    with pytest.raises(ValueError, match="no known range"):
        decode_image(encode(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_honoured(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(smooth_picture(16, 24), format, exif=exif)
    image = Image.open(io.BytesIO(data))
    expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)
    if format == "JPEG":
        assert jpeg_facts(data).orientation == orientation


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_exif_are_read(order):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tiff = mark + struct.pack(order + "IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
    plain = encode(smooth_picture(8, 16), "JPEG")
    segment = b"Exif\0\0" + tiff
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert jpeg_facts(data).orientation == 6
    assert decode_image(data).shape == (16, 8, 3)
    assert upright_size(data) == (16, 8)
    assert upright_size(plain) == (8, 16)
    assert jpeg_facts(data[: len(segment) - 4]).orientation == 1


def test_upright_turns_as_the_numbers_say():
    pixels = noise_picture(2, 3)
    assert upright(pixels, 1).tolist() == pixels.tolist()
    assert upright(pixels, 6).tolist() == np.rot90(pixels, -1).tolist()
    assert upright(pixels, 8).tolist() == np.rot90(pixels).tolist()


@pytest.mark.parametrize("min_side", [40, 75, 76, 150, 160, 299, 300, 1000])
def test_reduced_decoding_keeps_the_shorter_side(min_side):
    data = encode(smooth_picture(300, 480), "JPEG", quality=95)
    full = decode_image(data)
    small = decode_image(data, min_side=min_side)
    assert min(small.shape[:2]) >= min(min_side, 300)
    if min_side <= 150:
        assert small.shape[0] <= 150
    else:  # sizes between a half and the whole take longer to decode than the whole
        assert small.shape == full.shape
    height, width = small.shape[:2]
    expected = np.asarray(Image.fromarray(full).resize((width, height), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - expected).mean() < 1.5


def patched_jpeg(side: int) -> bytes:
    data = bytearray(encode(smooth_picture(16, 16), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def png_bomb(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def patched(format: str, at: int, layout: str, *values: int) -> bytes:
    data = bytearray(encode(smooth_picture(16, 16), format, **dict(LOSSLESS).get(format, {})))
    struct.pack_into(layout, data, at, *values)
    return bytes(data)


BOMBS = {
    "jpeg": patched_jpeg(65_500),
    "png": png_bomb(50_000),
    "gif": patched("GIF", 6, "<HH", 65_535, 65_535),
    "bmp": patched("BMP", 18, "<ii", 1 << 30, -(1 << 30)),
    "webp": patched("WEBP", 21, "<I", 0xFFFFFFF),
    "ppm": b"P6 100000 100000 255\n" + bytes(100),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_decoding(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"need at most 89478485 pixels|exceeds limit"):
        decode_image(BOMBS[name])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32_000  # KiB


def test_the_pixel_cap_is_exact():
    data = encode(smooth_picture(10, 12), "PNG")
    assert decode_image(data, max_pixels=120).shape == (10, 12, 3)
    with pytest.raises(ValueError, match="need at most 119 pixels, got PNG of 12x10"):
        decode_image(data, max_pixels=119)


def test_a_gif_frame_outside_its_screen_counts():
    data = bytearray(encode(smooth_picture(16, 16), "GIF"))
    frame = data.rindex(b"\x2c\0\0\0\0\x10\0\x10\0")
    struct.pack_into("<HH", data, frame + 5, 40, 41)
    with pytest.raises(ValueError, match="need at most 1000 pixels, got GIF of 40x41"):
        decode_image(bytes(data), max_pixels=1000)


def test_a_jpeg_of_a_thousand_scans_is_refused():
    data = encode(smooth_picture(16, 16), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ValueError, match="at most 500 scans"):
        decode_image(data[:-2] + scan * 1000 + data[-2:])


@pytest.mark.parametrize("fill", [b"\xff", b"\xff" * 30])
def test_a_thousand_scans_are_seen_behind_a_header_that_cannot_be_read(fill):
    baseline = encode(smooth_picture(16, 16), "JPEG")
    data = encode(smooth_picture(16, 16), "JPEG", progressive=True)
    at = data.index(b"\xff\xc2")
    scan = data[data.rindex(b"\xff\xda") : -2]
    hidden = baseline[baseline.index(b"\xff\xc0") : baseline.index(b"\xff\xda") + 10]
    many = data[:at] + fill + hidden[:1] + data[at:-2] + scan * 1000 + data[-2:]
    with pytest.raises(ValueError, match="at most 500 scans"):
        decode_image(many)


def test_stray_bytes_between_headers_do_no_harm():
    data = encode(smooth_picture(16, 16), "JPEG")
    at = data.index(b"\xff\xda")
    np.testing.assert_array_equal(decode_image(data[:at] + b"abc" + data[at:]), decode_image(data))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"%PDF-1.5", b"<svg/>", b"GIF89a", b"BM", b"RIFF"]
)
def test_what_is_no_image_is_refused_with_its_start(data):
    with pytest.raises(ValueError, match=r"need an image of format JPEG, .* got \d+ bytes"):
        decode_image(data)


def test_a_jpeg_cut_short_is_refused_even_with_an_end_marker():
    data = encode(noise_picture(64, 64), "JPEG")
    for cut in (data[:-2], data[: len(data) // 2], data[: len(data) // 2] + b"\xff\xd9"):
        with pytest.raises(ValueError, match=r"a JPEG of \d+ bytes is truncated or broken"):
            decode_image(cut)


WHOLE = {
    format: encode(noise_picture(40, 40), format, **options)
    for format, options in [*LOSSLESS, ("JPEG", {}), ("GIF", {}), ("AVIF", {})]
}


@given(format=st.sampled_from(sorted(WHOLE)), part=st.floats(0, 1))
@settings(max_examples=150)
def test_a_truncated_file_never_gives_another_picture(format, part):
    data = WHOLE[format]
    try:
        pixels = decode_image(data[: int(part * len(data))])
    except ValueError:
        return
    np.testing.assert_array_equal(pixels, decode_image(data))


@given(format=st.sampled_from(sorted(WHOLE)), seed=st.integers(0, 1 << 20))
@settings(max_examples=150)
def test_damaged_bytes_give_a_picture_or_a_sentence(format, seed):
    rng = random.Random(seed)
    data = bytearray(WHOLE[format])
    for _ in range(rng.randrange(1, 9)):
        data[rng.randrange(len(data) if rng.random() < 0.5 else 64)] = rng.randrange(256)
    try:
        pixels = decode_image(bytes(data), max_pixels=10_000)
    except ValueError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.size <= 30_000


def test_what_is_said_of_no_image_is_the_same_in_every_process():
    with pytest.raises(ValueError, match=r"got 2 bytes that start with b'xx' \(of no known kind\)"):
        read_header(b"xx")
