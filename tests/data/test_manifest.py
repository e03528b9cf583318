import shutil
import subprocess

import pytest

from eyespot.data.manifest import check_manifest, file_sha256, write_manifest


def test_files_are_compared(tmp_path):
    for name in ("a", "b b", "c"):
        (tmp_path / name).write_text(name)
    # FIPS 180-4's example has the sha256 of "abc".
    (tmp_path / "abc").write_text("abc")
    assert file_sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
    digests = {name: file_sha256(tmp_path / name) for name in ("a", "b b", "c")}
    path = tmp_path / "all.sha256"
    write_manifest(path, digests)
    assert list(check_manifest(path)) == [("a", ""), ("b b", ""), ("c", "")]
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", path.name], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "a").unlink()
    (tmp_path / "c").write_text("x")
    assert [problem[:7] for _, problem in check_manifest(path)] == ["is miss", "", "differs"]
    path.write_text("abc  a\n")
    with pytest.raises(ValueError, match="got 'abc  a': line 1 of"):
        list(check_manifest(path))
