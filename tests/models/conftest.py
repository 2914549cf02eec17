"""Small models of transformers in folders, as `save_pretrained` writes them, with a tokenizer trained on a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

WORDS = 160
TEXT = "\n".join(
    f"the {color} {animal} {verb} over {number} lazy dogs"
    for color in ("quick", "brown", "silver")
    for animal in ("fox", "hen", "mule")
    for verb in ("jumps", "walks")
    for number in ("one", "eleven")
)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def build(kind: str) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    words = {"vocab_size": WORDS, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    one = {**words, **SIZES}
    if kind in ("encoder", "masked"):
        config = transformers.BertConfig(**one, intermediate_size=64, max_position_embeddings=24)
        return (transformers.BertModel if kind == "encoder" else transformers.BertForMaskedLM)(config)
    if kind == "gpt2":
        config = transformers.GPT2Config(**words, n_embd=32, n_layer=2, n_head=4, n_positions=24)
        return transformers.GPT2LMHeadModel(config)
    if kind == "llama":
        config = transformers.LlamaConfig(**one, intermediate_size=64, num_key_value_heads=2)
        return transformers.LlamaForCausalLM(config)
    if kind == "experts":
        config = transformers.MixtralConfig(
            **one, intermediate_size=48, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2
        )
        return transformers.MixtralForCausalLM(config)
    if kind == "t5":
        config = transformers.T5Config(
            **words, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, decoder_start_token_id=2
        )
        return transformers.T5ForConditionalGeneration(config)
    config = transformers.ViTConfig(**SIZES, intermediate_size=64, image_size=16, patch_size=8, num_labels=3)
    return transformers.ViTForImageClassification(config)


def save_tokenizer(folder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    specials = ["[BOS]", "[EOS]", "[PAD]", "[UNK]", "[MASK]"]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=WORDS, special_tokens=specials, show_progress=False)
    made.train_from_iterator(TEXT.splitlines(), trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]", model_max_length=24
    )
    fast.save_pretrained(folder)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small run no faster on several threads, which wait for each other and take time of every core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model by its kind, made once; write nothing into it."""
    made: dict[str, Path] = {}

    def find(kind: str) -> Path:
        if kind not in made:
            from qanalysis.models.running.silence import silenced

            folder = tmp_path_factory.mktemp("models") / kind
            with silenced():
                build(kind).save_pretrained(folder)
                save_tokenizer(folder)
            made[kind] = folder
        return made[kind]

    return find


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """Lines of words that the tokenizer of every folder knows."""
    path = tmp_path / "lines.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path
