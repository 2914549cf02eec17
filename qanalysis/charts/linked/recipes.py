"""Which lines of Python make the numbers of a chart? A reader pastes them, with the file at hand, and gets the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qanalysis.checkpoints.source import MEASURED_ROLES
from qanalysis.diagnosis.profile import LayerProfile


def write_sweep(source: str, settings: Mapping[str, Any]) -> str:
    """The lines that make `rows`; `source` opens the checkpoint, `settings` are those that rows of a sweep hold.

    >>> print(write_sweep("own.npz", {"schemes": ["int4"], "roles": "all"}))
    from qanalysis import open_checkpoint, sweep
    <BLANKLINE>
    with open_checkpoint('own.npz') as source:
        rows = sweep(
            source,
            schemes=['int4'],
            roles='all',
        )
    """
    asked = {name: settings[name] for name in ("include", "exclude", "roles", "axis") if settings.get(name)}
    if asked.get("roles") == list(MEASURED_ROLES):
        del asked["roles"]
    words = {"schemes": list(settings["schemes"]), **asked}
    lines = [
        "from qanalysis import open_checkpoint, sweep",
        "",
        f"with open_checkpoint({source!r}) as source:",
        "    rows = sweep(",
        "        source,",
        *(f"        {name}={value!r}," for name, value in words.items()),
        "    )",
    ]
    return "\n".join(lines)


def write_map(source: str, settings: Mapping[str, Any], metric: str) -> str:
    """The lines that make the values of a heat map: layers down, schemes across."""
    table = f"rows.to_pandas().pivot(index='tensor', columns='scheme', values={metric!r})"
    return f"{write_sweep(source, settings)}\nvalues = {table}"


def write_curve(source: str, settings: Mapping[str, Any], tensor: str, metric: str) -> str:
    """The lines that make the curve of one layer."""
    chosen = f"[['scheme', 'bits', 'bits_per_weight', {metric!r}]]"
    lines = ["frame = rows.to_pandas()", f"curve = frame[frame['tensor'] == {tensor!r}]{chosen}"]
    return "\n".join([write_sweep(source, settings), *lines])


def write_levels(scheme: str) -> str:
    """The lines that make the levels of a scheme's format at scale 1.

    >>> print(write_levels("fp4_e2m1"))
    from qanalysis import Scheme
    from qanalysis.charts.format_levels import find_levels
    <BLANKLINE>
    levels = find_levels(Scheme.parse('fp4_e2m1'))
    """
    lines = ["from qanalysis import Scheme", "from qanalysis.charts.format_levels import find_levels", ""]
    return "\n".join([*lines, f"levels = find_levels(Scheme.parse({scheme!r}))"])


def write_profile(source: str, profile: LayerProfile, figures: str, *, numel: int = 0) -> str:
    """The lines that make a profile, and the `figures` of it that a chart shows.

    `numel` are the values of the layer; a profile of fewer is made of as many of the first rows.
    """
    seen = profile.count + profile.non_finite
    part = f"[: len(values) * {seen} // {numel}]" if seen < numel else ""
    lines = [
        "from qanalysis import Scheme, open_checkpoint",
        "from qanalysis.diagnosis.profile import profile_layer",
        "",
        f"with open_checkpoint({source!r}) as source:",
        f"    info = next(info for info in source.tensors if info.name == {profile.name!r})",
        "    values = source.read(info)",
        f"scheme = Scheme.parse({str(profile.scheme)!r})",
        f"profile = profile_layer(values{part}, scheme, axis=info.view)",
        figures,
    ]
    return "\n".join(lines)


def write_sensitivity(model: str, settings: Mapping[str, Any], *lines: str) -> str:
    """The lines that measure a sensitivity again, and `lines` that pick something of its `frame`.

    >>> print(write_sensitivity("sample:digits-cnn", {"schemes": ["int4"], "calibration": "sample:digits-cnn"}))
    from qanalysis.models.calibration.opening import open_calibration
    from qanalysis.models.running.opening import open_model
    from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
    <BLANKLINE>
    with open_model('sample:digits-cnn') as model:
        data = open_calibration('sample:digits-cnn', model)
        table = measure_sensitivity(model, data, ['int4'])
    frame = table.to_pandas()
    """
    usual = {"targets": ["weights"], "modes": ["enable-one"], "seed": 0}
    named = {name: settings.get(name) for name in (*usual, "include", "exclude", "axis")}
    asked = {name: value for name, value in named.items() if value and value != usual.get(name)}
    words = "".join(f", {name}={value!r}" for name, value in asked.items())
    return "\n".join(
        [
            "from qanalysis.models.calibration.opening import open_calibration",
            "from qanalysis.models.running.opening import open_model",
            "from qanalysis.models.sensitivity.sensitivity import measure_sensitivity",
            "",
            f"with open_model({model!r}) as model:",
            f"    data = open_calibration({str(settings.get('calibration', 'data.npz'))!r}, model)",
            f"    table = measure_sensitivity(model, data, {list(settings.get('schemes', ()))!r}{words})",
            "frame = table.to_pandas()",
            *lines,
        ]
    )
