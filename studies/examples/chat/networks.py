"""Makes models of random weights for the pipeline `small-chat`: what they say means nothing, how long they take does.

A classifier (ONNX) finds the topic of a question and puts it before the text; a language model (GGUF, of Llama's
architecture, 512 words) answers. The same seed makes the same files.
"""

from __future__ import annotations

from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.live import serving

VOCABULARY = 512
"""The tokens of a language model, its three special ones included."""
CONTEXT = 8192
HEAD = 64
"""The width of a head of attention."""
TOPICS = ("weather", "travel", "music", "food", "sports", "money", "health", "news")


def vocabulary(count: int) -> list[str]:
    """So many words, each of which is a token: those of the load generator's texts first, then made ones."""
    syllables = ("".join(letters) for letters in product("bdfgklmnprst", "aeiou", "lmnrst", "aeiou"))
    return list(islice(dict.fromkeys((*serving.words(count).split(), *TOPICS, *syllables)), count))


# ---- the language model ----


def write_language_model(path: Path, width: int, layers: int, seed: int = 1) -> None:
    """A GGUF file. `width`: of the embedding, a multiple of `HEAD`."""
    import gguf

    special = ["<unk>", "<s>", "</s>"]
    words = vocabulary(VOCABULARY - len(special))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_head_count(width // HEAD)
    writer.add_head_count_kv(width // HEAD)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_feed_forward_length(_forward(width))
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("t5")  # whole words, found by their scores
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token.encode() for token in (*special, *(f"\u2581{word}" for word in words))])
    writer.add_token_scores([0.0] * len(special) + [-1.0] * len(words))
    unknown, control, normal = gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([unknown, control, control] + [normal] * len(words))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    for name, weights in _llama(width, layers, np.random.default_rng(seed)).items():
        writer.add_tensor(f"{name}.weight", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _forward(width: int) -> int:
    """The width of the feed-forward layers: 8 / 3 of the embedding's, as in Llama, in whole blocks of 32."""
    return width * 8 // 3 // 32 * 32


Weights = npt.NDArray[np.float32]


def _llama(width: int, layers: int, draws: np.random.Generator) -> dict[str, Weights]:
    """The weights by name, shape (outputs, inputs) each."""

    def drawn(*shape: int) -> Weights:
        return 0.02 * draws.standard_normal(shape, dtype=np.float32)

    ones, forward = np.ones(width, dtype=np.float32), _forward(width)
    weights = {"token_embd": drawn(VOCABULARY, width), "output": drawn(VOCABULARY, width), "output_norm": ones}
    for layer in range(layers):
        weights |= {f"blk.{layer}.attn_norm": ones, f"blk.{layer}.ffn_norm": ones}
        weights |= {f"blk.{layer}.attn_{name}": drawn(width, width) for name in ("q", "k", "v", "output")}
        weights |= {f"blk.{layer}.ffn_{name}": drawn(forward, width) for name in ("gate", "up")}
        weights[f"blk.{layer}.ffn_down"] = drawn(width, forward)
    return weights


# ---- the classifier ----


def write_classifier(path: Path, width: int, layers: int, seed: int = 1) -> None:
    """An ONNX file: text (BYTES, rows x 1) -> text, the same after the word of its topic.

    The embeddings of its words are averaged, and go through `layers` dense layers.
    """
    import onnx

    helper = onnx.helper
    draws = np.random.default_rng(seed)
    words = vocabulary(VOCABULARY)
    embedding = draws.standard_normal((len(words) + 1, width), dtype=np.float32)
    embedding[0] = 0.0  # of words that are not known, and of what fills a row up
    constants: dict[str, npt.NDArray[Any]] = {
        "embedding": embedding,
        "row": np.array([-1]),
        "column": np.array([-1, 1]),
        "axis": np.array([1]),
        "one": np.array(1),
        "topics": np.array([f"{topic} " for topic in TOPICS], dtype=object),
    }
    nodes = [
        helper.make_node("Reshape", ["text", "row"], ["texts"]),
        helper.make_node("StringSplit", ["texts"], ["words", "counts"]),
        helper.make_node(
            "LabelEncoder",
            ["words"],
            ["ids"],
            domain="ai.onnx.ml",
            keys_strings=words,
            values_int64s=list(range(1, len(words) + 1)),
            default_int64=0,
        ),
        helper.make_node("Gather", ["embedding", "ids"], ["embedded"]),
        helper.make_node("ReduceSum", ["embedded", "axis"], ["sums"], keepdims=0),
        helper.make_node("Max", ["counts", "one"], ["at_least_one"]),
        helper.make_node("Cast", ["at_least_one"], ["divisors"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["divisors", "axis"], ["divisor"]),
        helper.make_node("Div", ["sums", "divisor"], ["hidden-0"]),
    ]
    for layer in range(layers):
        scale = np.float32((2 / width) ** 0.5)
        constants[f"weights-{layer}"] = scale * draws.standard_normal((width, width), dtype=np.float32)
        nodes.append(helper.make_node("MatMul", [f"hidden-{layer}", f"weights-{layer}"], [f"dense-{layer}"]))
        nodes.append(helper.make_node("Relu", [f"dense-{layer}"], [f"hidden-{layer + 1}"]))
    constants["last"] = draws.standard_normal((width, len(TOPICS)), dtype=np.float32)
    nodes += [
        helper.make_node("MatMul", [f"hidden-{layers}", "last"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["topics", "best"], ["topic"]),
        helper.make_node("StringConcat", ["topic", "texts"], ["prompts"]),
        helper.make_node("Reshape", ["prompts", "column"], ["prompt"]),
    ]
    texts = [helper.make_tensor_value_info(name, onnx.TensorProto.STRING, ["rows", 1]) for name in ("text", "prompt")]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "classifier", texts[:1], texts[1:], stored)
    versions = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=9), path)
