"""What does the folder of a model say? Its config.json: what the model is for, how many tokens it takes; its tokenizer.

No code of a folder is run and no pickle is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qanalysis.models.factory import describe_error
from qanalysis.models.running.silence import silenced
from qanalysis.notation import quote

#: What a model is asked for on text: the next token, a token that was masked, classes, or vectors.
Task = Literal["causal", "masked", "classes", "vectors"]
NEEDS_TRANSFORMERS = "transformers is not installed; install it with `pip install 'qanalysis[hf]'`"

_TASKS: tuple[tuple[Task, tuple[str, ...]], ...] = (
    ("causal", ("ForCausalLM", "LMHeadModel")),
    ("masked", ("ForMaskedLM", "ForPreTraining")),
    ("classes", ("ForSequenceClassification", "ForTokenClassification", "ForImageClassification")),
)
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
#: Models whose positions count from behind the padding token's number.
_COUNT_FROM_PADDING = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "roberta-prelayernorm", "esm"}
_UNBOUNDED = 10**9  # tokenizers say 10**30 where they know no limit
_WORDS = ("tokenizer.json", "vocab.txt", "vocab.json")
_WORDS_END = (".model", ".tiktoken", ".spm", ".bpe")
_OF_BYTES = ("ByT5", "Canine", "Perceiver")
_LARGEST_CONFIG = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class ModelFolder:
    """A folder with a config.json; `config` is what it holds, empty where there is none."""

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """The name of the model's class, empty where the folder does not say."""
        named = self.config.get("architectures")
        first = named[0] if isinstance(named, list) and named else ""
        return first if isinstance(first, str) else ""

    @property
    def task(self) -> Task:
        """What the model is for, as the name of its class ends."""
        return next((task for task, ends in _TASKS if self.architecture.endswith(ends)), "vectors")

    @property
    def gives_logits(self) -> bool:
        """Whether outputs are logits; one class alone is a number."""
        if self.task == "classes":
            return len(self.labels) != 1 and self.config.get("problem_type") != "regression"
        return self.task != "vectors"

    @property
    def labels(self) -> Mapping[str, int]:
        """The names of the classes and their numbers."""
        named = self.config.get("id2label")
        if not isinstance(named, dict):
            return {}
        return {str(label): int(number) for number, label in named.items() if str(number).isdecimal()}

    @property
    def most_tokens(self) -> int | None:
        """The longest input by config.json, None where it does not say."""
        text = self.config.get("text_config")
        found = [
            place[key] for place in (self.config, text) if isinstance(place, dict) for key in _LENGTHS if key in place
        ]
        counts = [count for count in found if type(count) is int and count > 0]
        if not counts:
            return None
        padding = self.config.get("pad_token_id")
        is_shifted = self.config.get("model_type") in _COUNT_FROM_PADDING
        return max(min(counts) - (padding + 1 if is_shifted and isinstance(padding, int) else 0), 1)

    def open_tokenizer(self) -> Any:
        """The tokenizer of transformers. Raises ValueError where there is none, or where it would run foreign code."""
        try:
            import transformers
        except ImportError:
            raise ValueError(f"text needs the tokenizer of {quote(self.path.name)}, and {NEEDS_TRANSFORMERS}") from None
        try:
            with silenced():
                _check_words(self.path)
                return _open_tokenizer(transformers, self.path)
        except Exception as error:  # transformers raises whatever its readers do
            raise ValueError(
                f"the folder {quote(self.path.name)} has no tokenizer that can be read ({describe_error(error)}); save "
                "the model's own into it, or give .npz data with input_ids"
            ) from error


def _check_words(path: Path) -> None:
    """Refuses a folder without a vocabulary: transformers makes a tokenizer without words of it."""
    names = {file.name for file in path.iterdir()}
    has_words = bool(names & set(_WORDS)) or any(name.endswith(_WORDS_END) for name in names)
    settings = path / "tokenizer_config.json"
    is_of_bytes = settings.is_file() and any(word in settings.read_text(encoding="utf-8") for word in _OF_BYTES)
    if not has_words and not is_of_bytes:
        raise FileNotFoundError(f"there is none of {', '.join(_WORDS)}")


def _open_tokenizer(transformers: Any, path: Path) -> Any:
    whole = path / "tokenizer.json"
    if whole.is_file() and not (path / "tokenizer_config.json").is_file():
        return transformers.PreTrainedTokenizerFast(tokenizer_file=str(whole))
    return transformers.AutoTokenizer.from_pretrained(str(path), trust_remote_code=False, local_files_only=True)


def look_beside(file: Path) -> ModelFolder | None:
    """The folder of a model's file, or the one above where exporters put a file into a folder of its kind; None where
    neither has configuration or a tokenizer.
    """
    for place in (file.parent, *([file.parent.parent] if file.parent.name == "onnx" else [])):
        if (place / "config.json").is_file() or (place / "tokenizer.json").is_file():
            return ModelFolder(place, read_settings(place / "config.json"))
    return None


def read_settings(path: Path) -> Mapping[str, Any]:
    """The JSON object of a small file, empty where it is missing or damaged."""
    try:
        with path.open("rb") as opened:
            found = json.loads(opened.read(_LARGEST_CONFIG))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def find_most_tokens(folder: ModelFolder, tokenizer: Any) -> int | None:
    """The longest input that both the model and its tokenizer allow, None where neither says."""
    said = getattr(tokenizer, "model_max_length", None)
    bounds = [bound for bound in (folder.most_tokens, said) if isinstance(bound, int) and 0 < bound < _UNBOUNDED]
    return min(bounds, default=None)


def read_folder(path: Path, text: str) -> ModelFolder:
    """A folder and its config.json. Raises ValueError where that is missing or damaged; `text` is what was typed."""
    file = path / "config.json"
    if not file.is_file():
        raise ValueError(
            f"the folder {quote(text)} has no config.json, which says what its model is; give a folder that "
            "`save_pretrained` of transformers wrote"
        )
    try:
        with file.open("rb") as opened:
            data = opened.read(_LARGEST_CONFIG + 1)
        config = json.loads(data) if len(data) <= _LARGEST_CONFIG else None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"config.json of {quote(text)} can not be read ({describe_error(error)})") from None
    if isinstance(config, dict):
        return ModelFolder(path, config)
    raise ValueError(f"config.json of {quote(text)} is no JSON object of at most 4 MiB; download it again")
