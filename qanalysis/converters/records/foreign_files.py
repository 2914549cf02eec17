"""Which known kind of file is this, that is not read here, and what is to be exported instead?

One table of what files begin with, and one of suffixes for kinds that have no beginning of their own.
"""

from __future__ import annotations

import re
from pathlib import Path

_CSV = "export it as CSV"
_WAV = "export it as WAV, plain PCM or float"
_UNPACK = "unpack it and give the file that is in it"
_SCOPE = "save the waveform as CSV on the instrument, or open it in the vendor's program and export CSV"
_NUMPY = "save the array with `numpy.save`"

#: Where the beginning stands, what it is, what the file is then called, and the way out.
_BEGINNINGS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"MATLAB 7.3", "a MATLAB 7.3 file (HDF5)", "save the vector with -v7, `save('capture.mat', 'x', '-v7')`"),
    (0, b"Octave-1", "a binary file of Octave", "save the vector with -v7, `save -v7 capture.mat x`"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"read the data set with h5py and {_NUMPY}"),
    (512, b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"read the data set with h5py and {_NUMPY}"),
    (0, b"TDSm", "a TDMS file of LabVIEW", f"read the channel with nptdms and {_NUMPY}, or {_CSV}"),
    (0, b"TDSh", "the index of a TDMS file of LabVIEW", f"read the .tdms beside it with nptdms and {_NUMPY}"),
    (0, b"\x0f\x0f:WFM#", "a Tektronix .wfm waveform", _SCOPE),
    (0, b"\xf0\xf0:WFM#", "a Tektronix .wfm waveform", _SCOPE),
    (0, b"AG10", "a Keysight .bin waveform", _SCOPE),
    (0, b"AG01", "a Keysight .bin waveform", _SCOPE),
    (0, b"AG03", "a Keysight .bin waveform", _SCOPE),
    (0, b"RG01", "a Rigol .bin waveform", _SCOPE),
    (0, b"RG03", "a Rigol .bin waveform", _SCOPE),
    (0, b"<SALEAE>", "a binary export of Saleae Logic", "export CSV from Logic"),
    (0, b"MDF     ", "an MDF measurement file", f"read the channel with asammdf and {_NUMPY}, or {_CSV}"),
    (0, b"fLaC", "a FLAC file", _WAV),
    (0, b"OggS", "an Ogg file", _WAV),
    (0, b"ID3", "an MP3 file", _WAV),
    (0, b"caff", "a Core Audio file (CAF)", _WAV),
    (0, b"RIFX", "a RIFX file (big-endian WAV)", _WAV),
    (0, b"riff\x2e\x91\xcf\x11", "a Wave64 file (W64)", _WAV),
    (0, b".snd\0\0\0", "an AU file (Sun audio)", _WAV),
    (8, b"AIFF", "an AIFF file", _WAV),
    (8, b"AIFC", "an AIFF-C file", _WAV),
    (0, b"\x1f\x8b\x08", "a gzip file", f"gzip: {_UNPACK}, for example with gunzip"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", f"zstd: {_UNPACK}"),
    (0, b"\xfd7zXZ\0", "an xz file", f"xz: {_UNPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"PAR1", "a Parquet file", f"read the column with pandas and {_NUMPY}, or {_CSV}"),
    (0, b"ARROW1\0\0", "an Arrow file", f"read the column with pyarrow and {_NUMPY}, or {_CSV}"),
    (0, b"SQLite format 3\0", "an SQLite database", _CSV),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file (.xls)", _CSV),
    (0, b"%PDF-", "a PDF document", "export the numbers themselves as CSV"),
    (0, b"\x89PNG\r\n\x1a\n", "a picture (PNG)", "export the samples as CSV, not a screenshot"),
    (0, b"\xff\xd8\xff", "a picture (JPEG)", "export the samples as CSV, not a screenshot"),
    (0, b"GIF8", "a picture (GIF)", "export the samples as CSV, not a screenshot"),
    (0, b"\x7fELF", "a program (ELF)", "dump the memory that holds the samples as raw words"),
    (0, b"GGUF", "a model in GGUF", "`qanalysis show` and `sweep` read it; give a record here"),
)
#: Texts that hold no columns of numbers.
_TEXTS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"\s*\$(date|version|timescale|comment|scope)\s", re.IGNORECASE),
        "a value change dump (VCD)",
        "export the bus as CSV, one row a sample",
    ),
    (re.compile(rb":[0-9A-F]{8}[0-9A-F]*\r?\n:[0-9A-F]{10}"), "an Intel HEX file", "convert it to raw words (.bin)"),
    (re.compile(rb"S[0-3][0-9A-F]{8,}\r?\nS[1-3][0-9A-F]{8}"), "a file of S-records", "convert it to raw words (.bin)"),
    (re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE), "a page of HTML", _CSV),
    (re.compile(rb"\s*<\?xml"), "an XML file", _CSV),
)
_SUFFIXES = {
    ".wfm": ("a waveform in an oscilloscope's own format (.wfm)", _SCOPE),
    ".trc": ("a LeCroy waveform (.trc)", _SCOPE),
    ".psdata": ("a file of PicoScope (.psdata)", "save it as CSV or MATLAB 4 (.mat) in PicoScope"),
    ".tdms": ("a TDMS file of LabVIEW", f"read the channel with nptdms and {_NUMPY}, or {_CSV}"),
    ".h5": ("an HDF5 file", f"read the data set with h5py and {_NUMPY}"),
    ".hdf5": ("an HDF5 file", f"read the data set with h5py and {_NUMPY}"),
    ".sr": ("a session of sigrok (.sr)", "export it with `sigrok-cli -i FILE -O csv`"),
    ".xlsx": ("an Excel workbook", _CSV),
    ".xls": ("an old Excel workbook", _CSV),
    ".ods": ("an OpenDocument spreadsheet", _CSV),
    ".mf4": ("an MDF measurement file", f"read the channel with asammdf and {_NUMPY}, or {_CSV}"),
    ".mp3": ("an MP3 file", _WAV),
    ".parquet": ("a Parquet file", f"read the column with pandas and {_NUMPY}, or {_CSV}"),
}
#: Members that tell what a zip archive is, in the order in which they are looked for.
_ARCHIVES: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"xl/.*"), *_SUFFIXES[".xlsx"]),
    (re.compile(r"word/.*|ppt/.*"), "an Office document", _CSV),
    (re.compile(r"logic-\d.*|analog-\d.*"), *_SUFFIXES[".sr"]),
    (re.compile(r"meta\.json"), "a capture of Saleae Logic 2 (.sal)", "export CSV from Logic"),
    (re.compile(r"content\.xml"), *_SUFFIXES[".ods"]),
    (re.compile(r"([^/]+/)?data\.pkl"), "a checkpoint of PyTorch", "`qanalysis show` and `sweep` read it"),
)
_LECROY = re.compile(rb"(#\d{1,10})?WAVEDESC")
_SPICE = re.compile(rb"Title:|T\0i\0t\0l\0e\0:\0")


def name_foreign(path: Path, head: bytes) -> tuple[str, str] | None:
    """What a file is that is known but not read, and what to do instead; None for every other file.

    `head` are its first bytes, 4096 at most. Where they say nothing, the suffix does, for suffixes that never name
    plain numbers.
    """
    for offset, sign, kind, way_out in _BEGINNINGS:
        if head.startswith(sign, offset):
            return kind, way_out
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "a bzip2 file", f"bzip2: {_UNPACK}"
    if _LECROY.search(head[:64]):
        return _SUFFIXES[".trc"]
    if _SPICE.match(head) and b"Plotname" in head.replace(b"\0", b""):
        return "a raw file of SPICE", "export the traces as text (LTspice: File, Export data as text)"
    for pattern, kind, way_out in _TEXTS:
        if pattern.match(head):
            return kind, way_out
    return _SUFFIXES.get(path.suffix.casefold())


def name_archive(names: list[str]) -> tuple[str, str] | None:
    """What a zip archive is by the names of its members, and what to do instead; None for no known kind."""
    for pattern, kind, way_out in _ARCHIVES:
        if any(pattern.fullmatch(name) for name in names):
            return kind, way_out
    return None
