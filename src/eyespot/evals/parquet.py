"""Features as one Parquet file, for tables and search engines outside: a row an image.

Columns: index, name, label (null where there is none), problem (null unless the image could not be
read), and for each tap a list of numbers of one length (null where there is a problem). The file's
metadata has `features.json` under the key "eyespot".
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from eyespot.data.loader import NO_LABEL
from eyespot.evals.feature_files import About, missing_shards, read_about, read_shard


def need_pyarrow() -> Any:
    """Import pyarrow with its Parquet part.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise ValueError(
            "need pyarrow to write Parquet, which is not installed: pip install 'eyespot[data]'; "
            "or name a folder as --out, which needs nothing"
        ) from error
    return pyarrow


def write_parquet(folder: Path, path: Path) -> None:
    """Write a whole folder of features as one file, shard after shard, at first under another name.

    Args:
        folder: From `eyespot embed`.
        path: The file, which is replaced if it is there.

    Raises:
        ValueError: If shards are missing or damaged, or pyarrow is not installed.
        OSError: If the file cannot be written.
    """
    arrow = need_pyarrow()
    about = read_about(folder)
    missing = missing_shards(folder, about)
    if missing:
        raise ValueError(f"need all {about.num_shards} shards in {folder}, missing {len(missing)}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    writer = None
    for shard in range(about.num_shards):
        table = _table(arrow, folder, about, shard)
        if writer is None:
            writer = arrow.parquet.ParquetWriter(temporary, table.schema)
        writer.write_table(table)
    if writer is None:
        raise ValueError(f"need features to write, got none in {folder}")
    writer.close()
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _table(arrow: Any, folder: Path, about: About, shard: int) -> Any:
    rows, features = read_shard(folder, shard, about.taps)
    good = np.array([not row.problem for row in rows])
    kind = arrow.float16() if about.dtype == "float16" else arrow.float32()
    columns = {
        "index": arrow.array([row.index for row in rows], arrow.int64()),
        "name": arrow.array([row.name for row in rows], arrow.string()),
        "label": arrow.array(
            [None if row.label == NO_LABEL else row.label for row in rows], arrow.int64()
        ),
        "problem": arrow.array([row.problem or None for row in rows], arrow.string()),
    }
    for tap, values in zip(about.taps, features, strict=True):
        width = values.shape[1]
        whole = np.zeros((len(rows), width), values.numpy().dtype)
        whole[good] = values.numpy()
        flat = arrow.array(whole.reshape(-1), kind)
        columns[tap] = arrow.FixedSizeListArray.from_arrays(flat, width, mask=arrow.array(~good))
    table = arrow.table(columns)
    return table.replace_schema_metadata({"eyespot": json.dumps(dataclasses.asdict(about))})
