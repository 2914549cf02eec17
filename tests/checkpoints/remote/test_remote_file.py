"""How many questions and bytes a header, a tensor, a slice and columns cost, and what is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.remote import pages, remote_file
from qanalysis.checkpoints.remote.addresses import Url
from qanalysis.checkpoints.remote.pages import Pages
from qanalysis.checkpoints.remote.remote_file import FIRST_BYTES, JUMP_BYTES, RemoteFile
from qanalysis.checkpoints.remote.session import Session
from qanalysis.checkpoints.source import CheckpointError
from tests.checkpoints.remote.serving import Site

DATA = np.random.default_rng(5).integers(0, 256, 1 << 20, dtype=np.uint8)


@pytest.fixture
def file(site: Site) -> Iterator[RemoteFile]:
    site.files["f.bin"] = DATA.tobytes()
    made = RemoteFile(Session(), Url.parse(f"{site.url}/f.bin"), "f.bin")
    yield made
    made.close()


def test_the_beginning_is_fetched_with_the_size(file: RemoteFile, site: Site) -> None:
    assert file.size == DATA.size
    assert file.read_header(0, 8) == DATA[:8].tobytes()
    assert file.read_header(100, FIRST_BYTES - 100) == DATA[100:FIRST_BYTES].tobytes()
    assert [one.range for one in site.asked] == [f"bytes=0-{FIRST_BYTES - 1}"]


def test_a_header_that_goes_on_costs_few_questions(file: RemoteFile, site: Site) -> None:
    step = 10_000
    for start in range(0, DATA.size, step):
        assert file.read_header(start, step) == DATA[start : start + step].tobytes()
    # 64 KiB, then twice as much each time: 64 + 128 + 256 + 512 KiB reach 960 of 1024, one more ends it
    assert len(site.asked) == 5
    assert site.sent == DATA.size


def test_a_jump_reads_little(file: RemoteFile, site: Site) -> None:
    assert file.read_header(500_000, 30) == DATA[500_000:500_030].tobytes()
    assert site.asked[-1].range == f"bytes=500000-{500_000 + JUMP_BYTES - 1}"


def test_archives_are_read_from_their_end(file: RemoteFile, site: Site) -> None:
    for place in (22, 60_000, FIRST_BYTES):
        assert file.read_header(DATA.size - place, 22) == DATA[DATA.size - place :][:22].tobytes()
    assert [one.range for one in site.asked[1:]] == [f"bytes={DATA.size - FIRST_BYTES}-{DATA.size - 1}"]


def test_values_cost_their_bytes_and_one_question(file: RemoteFile, site: Site) -> None:
    found = file.read_array(400_001, dtype=np.dtype("<f4"), count=50_000)
    assert found.tobytes() == DATA[400_001:600_001].tobytes()
    assert site.asked[-1].range == "bytes=400001-600000"
    assert found.flags.writeable
    assert len(site.asked) == 2
    assert file.read_array(DATA.size, dtype=np.dtype("<f4"), count=0).size == 0
    with pytest.raises(ValueError, match="bytes 1048572 to 1048580 of a file of 1048576"):
        file.read_array(DATA.size - 4, dtype=np.dtype("<f4"), count=2)
    assert len(site.asked) == 2


def test_columns_are_cut_from_a_table_that_is_fetched_once(file: RemoteFile, site: Site) -> None:
    table = DATA[1 << 18 : 1 << 19].reshape(-1, 512)
    for first in range(0, 512, 64):
        found = file.read_columns(
            1 << 18, dtype=np.dtype(np.uint8), count=1 << 18, width=512, first=first, last=first + 64
        )
        np.testing.assert_array_equal(found, table[:, first : first + 64])
    assert len(site.asked) == 2


def test_a_table_too_large_to_keep_is_fetched_once_for_each_band(
    file: RemoteFile, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_file, "BAND_BYTES", 1 << 17)
    monkeypatch.setattr(remote_file, "ROWS_BYTES", 1 << 17)
    table = DATA[3 : 3 + (1 << 18)].view("<u2").reshape(-1, 128)
    before = len(site.asked)
    for first in range(0, 128, 8):
        found = file.read_columns(3, dtype=np.dtype("<u2"), count=1 << 17, width=128, first=first, last=first + 8)
        np.testing.assert_array_equal(found, table[:, first : first + 8])
    # 256 KiB: two bands of columns, each from two stretches of rows
    assert len(site.asked) - before == 4


def test_threads_read_at_once(file: RemoteFile) -> None:
    def read(number: int) -> bool:
        start = number * 9_973
        return (
            file.read_array(start, dtype=np.dtype(np.uint8), count=50_000).tobytes()
            == DATA[start : start + 50_000].tobytes()
        )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(100)))


def test_a_closed_file_is_not_read(file: RemoteFile) -> None:
    file.close()
    with pytest.raises(CheckpointError, match=r"f\.bin was closed"):
        file.read_array(700_000, dtype=np.dtype(np.uint8), count=5)
    with pytest.raises(CheckpointError, match="no digest"):
        file.hash_into(hashlib.sha256())


def test_what_must_be_read_whole_has_a_limit(file: RemoteFile, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "MOST_HEADER", 1 << 19)
    with pytest.raises(
        CheckpointError, match="can only be read as a whole, and 1048576 bytes are more than the 524288"
    ):
        file.read_header(0, DATA.size)
    assert len(site.asked) == 1


def test_the_list_of_a_large_model_reads_kilobytes_a_shard(
    site: Site, cdn: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    site.cdn = cdn.url
    count, per_shard = 50, 20
    shard_of, files = {}, {}
    for number in range(1, count + 1):
        shard = f"model-{number:05}-of-{count:05}.safetensors"
        held = {f"layers.{number}.{part}.weight": np.zeros((100, 100), np.float32) for part in range(per_shard)}
        files[shard] = save(held)
        shard_of.update(dict.fromkeys(held, shard))
    files["model.safetensors.index.json"] = json.dumps({"weight_map": shard_of}).encode()
    site.repositories["o/large"] = files
    cdn.files = {f"o/large/{name}": data for name, data in files.items()}
    with open_checkpoint("hf://o/large") as source:
        assert len(source.tensors) == count * per_shard
        assert source.size_bytes == sum(len(data) for name, data in files.items() if name.startswith("model-"))
    # the list of files; for each shard and the index the way to the CDN, and there one stretch
    assert len(site.asked) == count + 2
    assert len(cdn.asked) == count + 1
    assert cdn.sent <= count * FIRST_BYTES + len(files["model.safetensors.index.json"])


def test_pages_stay_within_their_limit() -> None:
    kept = Pages(100)
    for number in range(10):
        kept.put("v", 10 * number, bytes(30))
    assert kept.find("v", 0) is None
    assert kept.find("v", 120) is None
    assert kept.find("v", 118) == (90, bytes(30))
    assert kept.find("w", 90) is None
    kept.put("v", 500, bytes(51))
    assert kept.find("v", 500) is None


def test_on_disk_nothing_is_kept_unless_a_folder_is_named(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remote_file, "_SLICES", Pages(0))  # as in another process
    weights = np.random.default_rng(1).standard_normal((200, 200), dtype=np.float32)
    site.files["m.safetensors"] = save({"w": weights})

    def read(*, expected: int) -> None:
        site.asked.clear()
        with open_checkpoint(f"{site.url}/m.safetensors?a") as source:
            np.testing.assert_array_equal(source.read(source.tensors[0]), weights)
        assert len(site.asked) == expected

    read(expected=2)
    read(expected=2)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("QANALYSIS_CACHE", str(tmp_path / "cache"))
    read(expected=2)
    read(expected=1)  # its version is asked for, its values are not
    held = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in held) == weights.nbytes + 32
    held[0].write_bytes(bytes(held[0].stat().st_size))  # damaged: fetched again
    read(expected=2)
    site.tag = '"two"'
    read(expected=2)  # another version is another file
    monkeypatch.setattr(pages, "FOLDER_BYTES", weights.nbytes + 100)
    site.tag = '"three"'
    read(expected=2)
    held = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(held) == 1
    assert held[0].parent.stat().st_mode & 0o077 == 0
