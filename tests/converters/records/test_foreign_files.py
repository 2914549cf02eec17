"""A file of another kind is named as what it is, with what to export, whatever it is called."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from qanalysis.converters.records.records import RecordError, read_record

FILES = {
    "a.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "b.tdms": (b"TDSm\x0e\0\0\0", "TDMS"),
    "c.wfm": (b"\x0f\x0f:WFM#003", r"Tektronix \.wfm"),
    "d.wfm": (b"\xa5\xa5\x38\x01", "oscilloscope's own format"),
    "e.trc": (b"#9000000346WAVEDESC\0", "LeCroy"),
    "f.bin": (b"AG10", "Keysight"),
    "g.bin": (b"<SALEAE>", "Saleae"),
    "h.flac": (b"fLaC\0\0\0\x22", "FLAC.*WAV"),
    "i.wav": (b"OggS\0\2", "Ogg.*WAV"),
    "j.wav": (b"FORM\0\0\0\x2eAIFFCOMM", "AIFF.*WAV"),
    "k.wav": (b"RIFX\0\0\0\x24WAVEfmt ", "RIFX.*WAV"),
    "l.w64": (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "Wave64.*WAV"),
    "m.caf": (b"caff\0\1\0\0desc", "Core Audio.*WAV"),
    "n.mp3": (b"\xff\xfb\x90\x64", "MP3.*WAV"),
    "o.zst": (b"\x28\xb5\x2f\xfd", "zstd: unpack"),
    "p.xz": (b"\xfd7zXZ\0", "xz: unpack"),
    "q.bz2": (b"BZh91AY&SY", "bzip2: unpack"),
    "r.parquet": (b"PAR1", "Parquet"),
    "s.txt": (b"$date\n  today\n$end\n$timescale 1ns $end\n", "VCD"),
    "t.csv": (b"%PDF-1.7\n", "PDF"),
    "u.png": (b"\x89PNG\r\n\x1a\n", "PNG.*not a screenshot"),
    "v.jpg": (b"\xff\xd8\xff\xe0", "JPEG"),
    "w.bin": (b"\x7fELF\2", "ELF"),
    "x.txt": (b":10010000214601360121470136007EFE09D2190140\r\n:100110002146017E17C20001FF5F16002148011928\r\n", "Intel HEX"),
    "y.raw": ("Title: * rc\nDate: now\nPlotname: Transient Analysis\n".encode("utf-16-le"), "SPICE"),
    "z.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
    "aa.dat": (b"MDF     4.10", "MDF"),
    "ab.csv": (b"<!DOCTYPE html><html>", "HTML"),
    "ac.mat": (b"Octave-1-L\0", "Octave"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_known_kind_is_named_and_never_called_words(tmp_path: Path, name: str) -> None:
    head, kind = FILES[name]
    text = all(byte < 128 for byte in head) and b"\0" not in head and name.endswith((".txt", ".csv"))
    path = tmp_path / name
    path.write_bytes(head + (b"1,2\n3,4\n" * 40 if text else bytes(range(256)) * 16))
    with pytest.raises(RecordError, match=kind) as caught:
        read_record(path)
    assert "which is not read; " in str(caught.value)
    assert ".bin and" not in str(caught.value)


def test_packed_text_is_named_by_its_packing(tmp_path: Path) -> None:
    path = tmp_path / "capture.csv.gz"
    path.write_bytes(gzip.compress(b"time,v\n0,1\n1,2\n"))
    with pytest.raises(RecordError, match="gzip: unpack it and give the file that is in it"):
        read_record(path)


@pytest.mark.parametrize(
    ("name", "members", "kind"),
    [
        ("a.xlsx", ["[Content_Types].xml", "xl/workbook.xml"], "an Excel workbook"),
        ("a.npz", ["[Content_Types].xml", "xl/workbook.xml"], "an Excel workbook"),
        ("b.sr", ["version", "metadata", "logic-1-1"], "a session of sigrok"),
        ("c.ods", ["mimetype", "content.xml"], "an OpenDocument spreadsheet"),
        ("d.sal", ["digital-0.bin", "meta.json"], "a capture of Saleae Logic 2"),
        ("e.pt", ["archive/data.pkl", "archive/version"], "a checkpoint of PyTorch"),
        ("f.zip", ["capture.csv"], "a zip archive that holds no arrays; it holds 'capture.csv': unpack it"),
    ],
)
def test_an_archive_is_told_by_its_members(tmp_path: Path, name: str, members: list[str], kind: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    with pytest.raises(RecordError, match=f"is {kind}"):
        read_record(tmp_path / name)


def test_an_archive_that_is_cut_short_is_named_by_its_suffix(tmp_path: Path) -> None:
    for name, kind in (("a.xlsx", "an Excel workbook, cut short"), ("b.npz", "no whole .npz archive")):
        (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(500))
        with pytest.raises(RecordError, match=kind):
            read_record(tmp_path / name)


def test_a_file_that_is_not_what_its_suffix_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"1,2\n" * 9)
    with pytest.raises(RecordError, match=r"does not start as a \.wav file does"):
        read_record(tmp_path / "a.wav")
