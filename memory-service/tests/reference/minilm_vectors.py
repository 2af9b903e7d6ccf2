"""Computes what all-MiniLM-L6-v2 makes of some texts, by numpy alone, in double precision.

It shares no code with what it is a reference for: tokens, encoder and pooling are written out here
after the papers and the model's own configuration. `minilm_vectors.json` beside it is its output:

    python minilm_vectors.py FOLDER >minilm_vectors.json

FOLDER is the model's (`scripts/weights` prints it); numpy is all that is needed.
"""

import json
import math
import struct
import sys
import unicodedata
from pathlib import Path

import numpy

WORDS = "memory of what was said on one thread is known on the next and never to another user "
TEXTS = [
    "Bob likes hiking.",
    "Which automobile does she drive?",
    "  CAFÉ Zürich, naïve Ångström – don't!  ",
    "order WX-4821: 3.50€ (50% off) @ 10:30",
    "漢字 and кириллица",
    "unaffable antidisestablishmentarianism",
    "🦊 [SEP] \u0000\u200b",
    "",
    # Longer than what the tokenizer's own file cuts texts to, shorter than what the model takes.
    WORDS * 10,
    # Longer than what the model takes.
    WORDS * 30,
]


def tensors(path):
    """The tensors of a safetensors file: a length, a header of JSON, the numbers."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            numbers = numpy.frombuffer(body[start:end], dtype="<f4").astype(numpy.float64)
            yield name, numbers.reshape(entry["shape"])


def is_punctuation(character):
    code = ord(character)
    ascii_punctuation = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_punctuation or unicodedata.category(character).startswith("P")


def is_chinese(character):
    code = ord(character)
    return 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2FA1F


def words(text):
    """Lower-cased words without accents; punctuation and Chinese characters by themselves."""
    spaced = []
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            spaced.append(" ")
        elif category in ("Cc", "Cf", "Co", "Cn") or character == "\ufffd":
            continue
        elif is_chinese(character):
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    plain = unicodedata.normalize("NFD", "".join(spaced).lower())
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    split = "".join(f" {c} " if is_punctuation(c) else c for c in plain)
    return split.split()


def pieces(word, vocabulary):
    """The longest pieces that the vocabulary has, from the left."""
    if len(word) > 100:
        return ["[UNK]"]
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        found.append(piece)
        start = end
    return found


def tokens(text, vocabulary, limit):
    found = []
    # A marker that stands in a text is that marker.
    for index, part in enumerate(text.split("[SEP]")):
        if index:
            found.append("[SEP]")
        for word in words(part):
            found.extend(pieces(word, vocabulary))
    return [vocabulary[token] for token in ["[CLS]", *found[: limit - 2], "[SEP]"]]


def normalized(states, weight, bias, epsilon):
    centred = states - states.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / numpy.sqrt(variance + epsilon) * weight + bias


def gelu(states):
    return states * 0.5 * (1 + numpy.vectorize(math.erf)(states / math.sqrt(2)))


def encode(ids, model, config):
    """A state for each token."""
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]

    def linear(states, name):
        return states @ model[f"{name}.weight"].T + model[f"{name}.bias"]

    def layer_norm(states, name):
        return normalized(states, model[f"{name}.weight"], model[f"{name}.bias"], epsilon)

    states = (
        model["embeddings.word_embeddings.weight"][ids]
        + model["embeddings.position_embeddings.weight"][: len(ids)]
        + model["embeddings.token_type_embeddings.weight"][0]
    )
    states = layer_norm(states, "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"

        def split(name):
            return linear(states, f"{layer}.attention.self.{name}").reshape(len(ids), heads, -1)

        query, key, value = split("query"), split("key"), split("value")
        scores = numpy.einsum("qhd,khd->hqk", query, key) / math.sqrt(query.shape[-1])
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        attended = numpy.einsum("hqk,khd->qhd", scores, value).reshape(len(ids), -1)
        attended = linear(attended, f"{layer}.attention.output.dense") + states
        states = layer_norm(attended, f"{layer}.attention.output.LayerNorm")
        inner = gelu(linear(states, f"{layer}.intermediate.dense"))
        states = layer_norm(
            linear(inner, f"{layer}.output.dense") + states, f"{layer}.output.LayerNorm"
        )
    return states


def main():
    folder = Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {token: index for index, token in enumerate(lines)}
    model = dict(tensors(folder / "model.safetensors"))
    print("[")
    for index, text in enumerate(TEXTS):
        vector = encode(tokens(text, vocabulary, limit), model, config).mean(0)
        vector /= numpy.linalg.norm(vector)
        numbers = ",".join(f"{number:.6f}" for number in vector)
        comma = "," if index + 1 < len(TEXTS) else ""
        print(f'{{"text":{json.dumps(text)},"vector":[{numbers}]}}{comma}')
    print("]")


main()
