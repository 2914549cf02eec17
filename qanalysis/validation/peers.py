"""Are the numbers right? Every figure that another library or a published table can judge, compared here and now.

`validate()` asks each peer that is installed; `Check` is the answer. A peer that is missing is listed, one whose
interface has changed fails with the reason. Differences by design are measured and explained, and do not fail.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from qanalysis.validation.check import Check, Comparison, catch_errors, fail_check

__all__ = ["NOT_COVERED", "PEERS", "Check", "Comparison", "Peer", "validate"]

INSTALL = "pip install 'qanalysis[peers]'"
NOT_COVERED = "Not covered: sensitivity of whole models, ranks of Hessian criteria, the optimum of bit plans."


@dataclass(frozen=True, slots=True)
class Peer:
    """A judge: the distribution that is asked (or the table, with its own `edition`), and the function that lists the
    comparisons.
    """

    name: str
    module: str
    function: str
    edition: str = ""

    @property
    def version(self) -> str:
        """Of the installed distribution; empty where it is not installed."""
        try:
            return self.edition or version(self.name)
        except PackageNotFoundError:
            return ""

    def list_comparisons(self) -> Iterator[Comparison]:
        """The comparisons, none of them made yet; raises what the peer raises when it is imported."""
        compare: Callable[[], Iterator[Comparison]] = getattr(
            importlib.import_module(f"qanalysis.validation.{self.module}"), self.function
        )
        yield from compare()


PEERS = (
    Peer("torch", "torch_peer", "compare_torch"),
    Peer("ml-dtypes", "float_peers", "compare_ml_dtypes"),
    Peer("gguf", "gguf_peer", "compare_gguf"),
    Peer("torchao", "torchao_peer", "compare_torchao"),
    Peer("compressed-tensors", "integer_peers", "compare_compressed_tensors"),
    Peer("optimum-quanto", "integer_peers", "compare_quanto"),
    Peer("onnxruntime", "integer_peers", "compare_onnxruntime"),
    Peer("bitsandbytes", "bitsandbytes_peer", "compare_bitsandbytes"),
    Peer("mlx", "mlx_peer", "compare_mlx"),
    Peer("hqq", "hqq_peer", "compare_hqq"),
    Peer("transformers", "transformers_peer", "compare_transformers"),
    Peer("gfloat", "float_peers", "compare_gfloat"),
    Peer("published tables", "theory_tables", "compare_tables", edition="Max 1960 ff."),
    Peer("theory", "theory_tables", "compare_monte_carlo", edition="2^20 values"),
)


def validate(
    peers: Iterable[Peer] = PEERS, *, on_peer: Callable[[str], None] = lambda _name: None
) -> tuple[Check, ...]:
    """Every check of every peer, in order; one line for a peer that is not installed.

    Takes 10 to 30 seconds, most of it imports, and a minute more where the loops are compiled first.

    `on_peer` is told the name of each before it is asked.

    >>> [check.verdict for check in validate([Peer("no-such-distribution", "gguf_peer", "compare_gguf")])]
    ['not installed']
    """
    with _keep_quiet():
        return tuple(check for peer in peers for check in _ask(peer, on_peer))


def _ask(peer: Peer, on_peer: Callable[[str], None]) -> Iterator[Check]:
    on_peer(peer.name)
    if not peer.version:
        yield Check("all its checks", peer.name, "", "bit-exact", reason=f"not installed: {INSTALL}")
        return
    with catch_errors() as errors:
        for comparison in peer.list_comparisons():
            yield comparison.run(peer.name, peer.version)
    for error in errors:
        yield fail_check("its interface", peer.name, peer.version, error)


@contextlib.contextmanager
def _keep_quiet() -> Iterator[None]:
    """What peers print, log and warn of is no part of the answer."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
