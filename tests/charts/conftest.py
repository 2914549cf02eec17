"""Rows and a profile that the tests of charts share."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from tests.charts.examples import EVIL, SCHEMES, weights


@pytest.fixture(scope="module")
def rows():
    return sweep({"conv1": weights((8, 16)), EVIL: weights((4, 32), 1), "ids": np.arange(6)}, SCHEMES)


@pytest.fixture(scope="module")
def profile():
    return profile_layer(weights((16, 64)), Scheme.parse("int4 group=16 range=percentile:95"), name=EVIL)


@pytest.fixture(scope="module")
def format_rows():
    schemes = ["int3", "int4", "nf4", "int3 group=32", "int4 group=32", "nf4 group=32", "mxfp4", "nvfp4:one-level"]
    return sweep({"conv1": weights((8, 64)), "odd": weights((8, 33), 1)}, schemes)
