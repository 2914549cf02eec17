"""The shipped log of a training: small, complete, and what the script records anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qanalysis.training.state import KINDS
from qanalysis.training.statistics.catalogue import read_statistics
from sample_models import STATISTICS, statistics_path
from sample_models.statistics import STEPS, record


def test_the_log_is_small_and_holds_every_kind_of_every_layer() -> None:
    (name,) = STATISTICS
    assert statistics_path(name).stat().st_size < 200_000
    log = read_statistics(statistics_path(name))
    found = {(one.layer, one.kind): one.rows.stop - one.rows.start for one in log.series()}
    expected = {(layer, kind) for layer in ("fc1", "fc2", "fc3") for kind in KINDS}
    assert set(found) == expected - {("fc1", "input-gradient")}  # images want no gradient
    assert set(found.values()) == {STEPS}
    assert log.notes == ()
    assert log.scale_exponents


def test_recording_anew_gives_the_same_statistics(tmp_path: Path) -> None:
    record(tmp_path / "log.csv", steps=3)
    anew = pd.read_csv(tmp_path / "log.csv").set_index(["layer", "kind", "step"]).sort_index()
    shipped = pd.read_parquet(statistics_path(STATISTICS[0])).set_index(["layer", "kind", "step"]).sort_index()
    for column in ("absmax", "mean", "std"):
        # float32 sums in the order of another machine's threads: 1e-4 of each figure over three steps
        np.testing.assert_allclose(anew[column], shipped.loc[anew.index, column], rtol=1e-4)


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="the sample logs are: digits-mlp-training"):
        statistics_path("digits")
