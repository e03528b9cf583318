"""`eyespot embed`: the features of a data set as files."""

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def embed(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    weights: str,
    out: Path,
    model: str = "",
    taps: tuple[str, ...] = ("pool",),
    split: str = "",
    size_px: int = 0,
    resize_px: int = 0,
    half: bool = False,
    rows_per_shard: int = 4096,
    batch_size: int = 64,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    workers: int = -1,
) -> None:
    """Write the features of every image as sharded .npy files with lists of their images.

    The same command goes on with what a killed one left; several processes share the work under
    torchrun --nproc-per-node 8 -m eyespot embed ... Images that cannot be read are listed.

    Args:
        data: A folder of images, a list, shards, or a built-in set.
        weights: A run's folder, a weights file, a name of `eyespot weights list`, or "random".
        out: The folder to write; or a file that ends in .parquet, which gets all rows at the end.
        model: The network, where the weights do not say.
        taps: Where features are taken: "pool", "s4", "s4@2x1" (a grid).
        split: "train", "val" or "test", where the data has several.
        size_px: Side of what the network sees of an image; 0 for the weights' own.
        resize_px: What the shorter side is resized to before; 0 for the weights' own proportion.
        half: Write float16.
        rows_per_shard: Images a file.
        batch_size: Images at a time.
        device: Where to run; a GPU if there is one.
        workers: Processes that read images; -1 for as many as the machine has room for.
    """
    from eyespot import dist
    from eyespot.cli.progress import Progress
    from eyespot.data.open import find_splits, open_samples
    from eyespot.evals.feature_files import read_features
    from eyespot.evals.parquet import need_pyarrow, write_parquet
    from eyespot.predict.embedder import Embedder
    from eyespot.predict.export import export_features
    from eyespot.tasks.run import Run, processes
    from eyespot.weights.trunk import RANDOM, find_weights

    table = out if out.suffix == ".parquet" else None
    if table is not None:
        need_pyarrow()
        out = out.with_name(f"{out.name}.parts")
    splits = find_splits(data)
    if len(splits) > 1 and not split:
        raise ValueError(f"need --split, one of {', '.join(splits)} of {data}, got none")
    opened = open_samples(data, split=split or None)
    with processes(Run(data, out, device=device, workers=workers)) as place:
        embedder = Embedder.from_pretrained(
            weights,
            model=model or None,
            taps=taps,
            size_px=size_px or None,
            resize_px=resize_px or None,
            device=str(place.device),
            batch_size=batch_size,
        )
        if dist.is_first():
            for note in embedder.notes:
                print(f"note: {note}", file=sys.stderr)
        facts: dict[str, object] = {"data": data, "split": split, "model": model}
        facts["weights"] = RANDOM if weights == RANDOM else _sha256(find_weights(weights).path)
        export_features(
            embedder,
            opened.samples,
            out,
            facts=facts,
            rows_per_shard=rows_per_shard,
            half=half,
            num_workers=place.workers,
            progress=Progress("images") if dist.rank() == 0 else None,
        )
        if dist.rank() == 0:
            found = read_features(out, str(embedder.taps[0]))
            if found.problems and not len(found.labels):
                first = found.problems[0]
                raise ValueError(
                    f"need at least one image that can be read, got {len(found.problems)} bad ones "
                    f"of {data} (all listed in {out}; mended ones need another --out), such as "
                    f"{first.name}: {first.problem}"
                )
            if table is not None:
                write_parquet(out, table)
                shutil.rmtree(out)
            wrote = f"wrote {table or out}: {len(found.labels):,} images"
            print(f"{wrote}, {embedder.width} values each")
            if found.problems:
                first = found.problems[0]
                print(
                    f"{len(found.problems)} images could not be read and are listed with their "
                    f"reasons; the first, {first.name}: {first.problem}",
                    file=sys.stderr,
                )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
