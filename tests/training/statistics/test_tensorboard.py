"""TensorBoard event files: one that torch's SummaryWriter made, against the tensors; and records made here.

`data/` holds the event file of four histograms and six scalars over two steps, and the statistics of the same tensors.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qanalysis.training.statistics.catalogue import read_statistics
from qanalysis.training.statistics.event_records import find_message, mask_checksum, parse_event
from qanalysis.training.statistics.tensorboard import measure_histogram

DATA = Path(__file__).parent / "data"
EVENTS = DATA / "events.out.tfevents.1"


def frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", mask_checksum(length)) + data + struct.pack("<I", mask_checksum(data))


def scalar(step: int, tag: str, value: float) -> bytes:
    event = find_message("Event")(step=step)
    event.summary.value.add(tag=tag, simple_value=value)
    return frame(event.SerializeToString())


def write_events(folder: Path, *records: bytes, name: str = "events.out.tfevents.7") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"".join(records))
    return path


def test_a_file_of_torch_gives_what_torch_sees_in_the_tensors() -> None:
    log = read_statistics(EVENTS)
    truth = pd.read_csv(DATA / "tensorboard_truth.csv")
    assert len(log) == len(truth) == 10
    for wanted in truth.itertuples():
        row = int(np.flatnonzero((log.step == wanted.step) & (log.kind == wanted.kind))[0])
        assert log.absmax[row] == pytest.approx(wanted.absmax, rel=1e-6)
        if wanted.kind == "output-gradient":
            assert np.isnan(log.mean[row])  # only its minimum and maximum were written
            continue
        # Buckets of torch are 10 percent wide, so that magnitudes of both signs are known to 5 percent of each.
        exact = wanted.kind in {"input", "output", "weight-gradient"}
        assert log.mean[row] == pytest.approx(wanted.mean, rel=1e-6 if exact else 0.05)
        assert log.std[row] == pytest.approx(wanted.std, rel=1e-5 if exact else 0.05)
    assert any(note.startswith("2 histograms hold both signs") for note in log.notes)
    assert "2 figures are not read (loss)." in log.notes


def test_folders_are_read_as_their_only_run(tmp_path: Path) -> None:
    write_events(tmp_path / "runs" / "a", scalar(0, "absmax/fc1/weight", 1), name="events.out.tfevents.1")
    write_events(tmp_path / "runs" / "a", scalar(1, "absmax/fc1/weight", 2), name="events.out.tfevents.2")
    assert read_statistics(tmp_path).absmax.tolist() == [1, 2]
    write_events(tmp_path / "runs" / "b", scalar(0, "absmax/fc1/weight", 1))
    with pytest.raises(ValueError, match="event files of 2 runs"):
        read_statistics(tmp_path)


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("absmax/enc.0.fc1/weight", ("enc.0.fc1", "weight", "")),
        ("enc.0.fc1/weight-gradient/amax", ("enc.0.fc1", "weight-gradient", "")),
        ("amax/fc1.weight.grad", ("fc1", "weight-gradient", "")),
        ("enc.fc_1_dgrad_cur_amax", ("enc.fc_1", "input-gradient", "")),
        ("enc/fc1/input/abs_max", ("enc/fc1", "input", "")),
    ],
)
def test_tags_that_name_a_statistic(tmp_path: Path, tag: str, found: tuple[str, str, str]) -> None:
    log = read_statistics(write_events(tmp_path, scalar(3, tag, 1.5)))
    assert (log.layer[0], log.kind[0], log.group[0]) == found
    assert (log.step.tolist(), log.absmax.tolist()) == ([3], [1.5])


def test_scalars_of_new_style_are_tensors(tmp_path: Path) -> None:
    event = find_message("Event")(step=1)
    for tag, tensor in (
        ("absmax/a/weight", {"dtype": 1, "float_val": [2.5]}),
        ("absmin/a/weight", {"dtype": 2, "tensor_content": struct.pack("<d", 0.1)}),
        ("mean/a/weight", {"dtype": 7, "tensor_content": b"text"}),
        ("std/a/weight", {"dtype": 1, "float_val": [1, 2]}),
    ):
        event.summary.value.add(tag=tag).tensor.MergeFrom(find_message("Tensor")(**tensor))
    log = read_statistics(write_events(tmp_path, frame(event.SerializeToString())))
    assert (log.absmax.tolist(), log.absmin.tolist()) == ([2.5], [0.1])
    assert "2 figures are not read (mean/a/weight, std/a/weight)." in log.notes


def test_histograms_of_new_style_are_tensors_of_buckets(tmp_path: Path) -> None:
    event = find_message("Event")(step=1)
    value = event.summary.value.add(tag="fc1.weight")
    value.metadata.plugin_data.plugin_name = "histograms"
    buckets = np.array([[-3.0, -2.0, 0.0], [-2.0, -1.0, 2.0], [-1.0, 1.0, 4.0], [1.0, 2.0, 2.0]])
    value.tensor.MergeFrom(find_message("Tensor")(dtype=2, tensor_content=buckets.tobytes()))
    log = read_statistics(write_events(tmp_path, frame(event.SerializeToString())))
    # Evenly in their buckets: 4 of magnitude 1.5, 4 of 0.5; E x^2 = (4 * 7/3 + 4 * 1/3) / 8 = 4/3.
    assert (log.absmax[0], log.numel[0], log.mean[0]) == (2, 8, 1)
    assert log.std[0] == pytest.approx(np.sqrt(4 / 3 - 1), rel=1e-12)


def test_an_empty_histogram_was_not_observed() -> None:
    figures, _ = measure_histogram(np.zeros(0), np.zeros(0), np.zeros(0), {"num": 0.0})
    assert np.isnan(figures["absmax"])


def test_scalars_go_before_the_histogram_of_the_same_tensor(tmp_path: Path) -> None:
    histogram = find_message("Event")(step=0)
    told = {"min": -1, "max": 2, "num": 2, "sum": 1, "sum_squares": 5, "bucket_limit": [0, 2], "bucket": [1, 1]}
    histogram.summary.value.add(tag="fc1.weight").histo.MergeFrom(find_message("Histogram")(**told))
    scalars = [scalar(0, "fc1/weight/mean", 1.5), scalar(0, "fc1/weight/std", 0.5)]
    log = read_statistics(write_events(tmp_path, *scalars, frame(histogram.SerializeToString())))
    assert (log.absmax[0], log.mean[0], log.std[0], log.low[0]) == (2, 1.5, 0.5, -1)


def test_repeated_figures_are_counted_and_the_last_kept(tmp_path: Path) -> None:
    records = [scalar(0, "absmax/a/weight", value) for value in (1, 2)]
    log = read_statistics(write_events(tmp_path, *records))
    assert log.absmax.tolist() == [2]
    assert "1 figure stands again later at the same step: the last is kept." in log.notes


@pytest.mark.parametrize("kept", [1, 11, 13, 30])
def test_a_last_record_that_is_cut_off_is_left_out_with_a_note(tmp_path: Path, kept: int) -> None:
    whole, next_one = scalar(0, "absmax/a/weight", 1), scalar(1, "absmax/a/weight", 2)
    log = read_statistics(write_events(tmp_path, whole, next_one[:kept]))
    assert log.absmax.tolist() == [1]
    assert f"the last {kept} bytes are a record that is not whole" in log.notes[0]


@pytest.mark.parametrize(("at", "part"), [(0, "length"), (9, "length"), (14, "data"), (-1, "data")])
def test_a_wrong_checksum_is_refused_with_its_offset(tmp_path: Path, at: int, part: str) -> None:
    first, broken = scalar(0, "absmax/a/weight", 1), bytearray(scalar(1, "absmax/a/weight", 2))
    broken[at] ^= 1
    with pytest.raises(ValueError, match=rf"byte {len(first)}: the checksum of the record's {part} is wrong"):
        read_statistics(write_events(tmp_path, first, bytes(broken)))


def test_bytes_that_are_no_event_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="byte 0: not an event of TensorBoard"):
        read_statistics(write_events(tmp_path, frame(b"\xff\xff\xff")))
    with pytest.raises(ValueError, match="run, byte 3: not an event"):
        parse_event(b"\x12", "run, byte 3")


def test_a_file_without_a_tag_that_is_understood_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tag names a statistic of a layer; 1 figures are not read \(loss\)"):
        read_statistics(write_events(tmp_path, scalar(0, "loss", 1)))
    with pytest.raises(ValueError, match="no tag names a statistic"):
        read_statistics(write_events(tmp_path))


def test_checksum_is_the_published_one() -> None:
    # CRC-32C of "123456789" is 0xe3069283 (RFC 3720, B.4, and the catalogue of parametrised CRCs).
    masked = mask_checksum(b"123456789")
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    assert ((turned << 15) | (turned >> 17)) & 0xFFFFFFFF == 0xE3069283
