"""A SigMF recording opens by either of its names, and only from its own folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.converters.records.records import RecordError, read_record

RAILS = np.rint(2000 * np.stack([np.cos(0.3 * np.arange(1000)), np.sin(0.3 * np.arange(1000))], axis=1)).astype("<i2")


def write(folder: Path, facts: dict[str, Any], captures: list[Any] | None = None, data: bytes | None = None) -> Path:
    meta = folder / "capture.sigmf-meta"
    meta.write_text(json.dumps({"global": {"core:version": "1.0.0", **facts}, "captures": captures or []}))
    if data is not None:
        (folder / "capture.sigmf-data").write_bytes(data)
    return meta


@pytest.mark.parametrize("suffix", [".sigmf-meta", ".sigmf-data"])
def test_either_name_opens_the_pair(tmp_path: Path, suffix: str) -> None:
    meta = write(tmp_path, {"core:datatype": "ci16_le", "core:sample_rate": 2.4e6}, data=RAILS.tobytes())
    record = read_record(meta.with_suffix(suffix))
    np.testing.assert_array_equal(record.codes, RAILS[:, 0])
    np.testing.assert_array_equal(record.quadrature, RAILS[:, 1])
    assert record.fs_hz == 2.4e6
    assert record.name == f"capture{suffix}"


def test_channels_take_turns_and_header_bytes_are_passed_over(tmp_path: Path) -> None:
    facts = {"core:datatype": "ri16_le", "core:num_channels": 2}
    meta = write(tmp_path, facts, [{"core:sample_start": 0, "core:header_bytes": 6}], b"header" + RAILS.tobytes())
    record = read_record(meta, channel=2)
    np.testing.assert_array_equal(record.codes, RAILS[:, 1])
    assert (record.channels, record.fs_hz) == (2, None)


def test_of_several_captures_the_first_is_read_and_told(tmp_path: Path) -> None:
    captures = [{"core:sample_start": 100}, {"core:sample_start": 700}, {"core:sample_start": 900}]
    record = read_record(write(tmp_path, {"core:datatype": "ci16_le"}, captures, RAILS.tobytes()))
    np.testing.assert_array_equal(record.codes, RAILS[100:700, 0])
    assert ("captures", 3) in {(finding.code, finding.value) for finding in record.guesses}


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    meta = write(tmp_path, {"core:datatype": "ri16_le"})
    with pytest.raises(RecordError, match=r"samples in 'capture\.sigmf-data', which is not beside it"):
        read_record(meta)
    lone = tmp_path / "lone.sigmf-data"
    lone.write_bytes(RAILS.tobytes())
    with pytest.raises(RecordError, match=r"is described by lone\.sigmf-meta, which is not beside it.*--dtype"):
        read_record(lone)
    assert read_record(lone, dtype="ci16_le").values.size == 1000


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a\\b", "..", "", 5])
def test_samples_outside_the_folder_are_not_opened(tmp_path: Path, name: Any) -> None:
    meta = write(tmp_path, {"core:datatype": "ri16_le", "core:dataset": name}, data=RAILS.tobytes())
    with pytest.raises(RecordError, match="they lie beside it, without a folder"):
        read_record(meta)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_bytes(RAILS.tobytes())
    (tmp_path / "inside/capture.sigmf-data").symlink_to(tmp_path / "secret")
    with pytest.raises(RecordError, match="leads out of the folder"):
        read_record(write(tmp_path / "inside", {"core:datatype": "ri16_le"}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no SigMF description"),
        ("[]", "it has no object 'global'"),
        ('{"global": {}}', "states no core:datatype"),
        ('{"global": {"core:datatype": "cu4"}}', "core:datatype: dtype 'cu4' was given"),
        ('{"global": {"core:datatype": "ru8", "core:num_channels": 0}}', "a recording has 1 to 999"),
        ('{"global": {"core:datatype": "ru8"}, "captures": [{"core:sample_start": -1}]}', "is no count"),
        ('{"global": {"core:datatype": "ru8", "core:metadata_only": true}}', "a description without samples"),
        ("[" * 100_000, "is no SigMF description"),
    ],
    ids=["cut", "list", "no-type", "odd-type", "no-channel", "negative", "no-samples", "deep"],
)
def test_descriptions_that_do_not_describe_are_refused(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path, {}, data=RAILS.tobytes()).write_text(content)
    with pytest.raises(RecordError, match=message):
        read_record(tmp_path / "capture.sigmf-data")
