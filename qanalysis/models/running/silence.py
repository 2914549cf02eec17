"""How is transformers kept from talking? Its log, its warnings and its progress bars are for people who train."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any

_LOGGERS = ("transformers", "torchao", "torch", "huggingface_hub", "accelerate")


@contextmanager
def silenced() -> Iterator[None]:
    """No warning, no line of the log below an error and no progress bar inside the block; all as before after it."""
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        _hide_bars(stack)
        yield


@contextmanager
def kept_apart() -> Iterator[None]:
    """What a model's own code prints goes to standard error, for standard output holds rows alone; its warnings go."""
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _hide_bars(stack: ExitStack) -> None:
    log: Any = sys.modules.get("transformers.utils.logging")
    if log is not None and log.is_progress_bar_enabled():
        log.disable_progress_bar()
        stack.callback(log.enable_progress_bar)
    hub: Any = sys.modules.get("huggingface_hub.utils")
    if hub is not None and not hub.are_progress_bars_disabled():
        hub.disable_progress_bars()
        stack.callback(hub.enable_progress_bars)
