"""The reader of any file of statistics: kinds by their names, and what is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qanalysis.training.statistics.catalogue import KINDS_OF_FILES, read_statistics


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can not be read: No such file"):
        read_statistics(tmp_path / "run.csv")


def test_a_file_of_another_kind_lists_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ValueError, match=r"'model.onnx' is none of the kinds .*\*.csv.*\*tfevents\*"):
        read_statistics(tmp_path / "model.onnx")


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.csv").touch()
    with pytest.raises(ValueError, match="holds no file of the kinds"):
        read_statistics(tmp_path)


@pytest.mark.parametrize("kind", KINDS_OF_FILES, ids=lambda kind: kind.name)
def test_every_kind_has_a_reader_that_loads_no_torch(kind) -> None:
    module, function = kind.reader.split(".")
    code = (
        f"import sys, qanalysis.training.statistics.catalogue, qanalysis.training.statistics.{module} as module; "
        f"assert callable(module.{function}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
