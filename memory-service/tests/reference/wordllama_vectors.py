"""Prints what the package `wordllama` itself makes of some texts.

`wordllama_vectors.json` beside it is its output:

    pip install wordllama==0.4.0.post1
    python wordllama_vectors.py >wordllama_vectors.json
"""

import json
from importlib.util import find_spec
from pathlib import Path

from safetensors import safe_open
from tokenizers import Tokenizer
from wordllama.inference import WordLlamaInference

TEXTS = [
    "Bob likes hiking.",
    "Which automobile does she drive?",
    "  CAFÉ Zürich, naïve Ångström – don't!  ",
    "order WX-4821: 3.50€ (50% off) @ 10:30",
    "漢字 and кириллица",
    "two\nlines\tand a tab",
]

folder = Path(find_spec("wordllama").origin).parent
weights = safe_open(folder / "weights/l2_supercat_256.safetensors", framework="np")
tokenizer = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
model = WordLlamaInference(weights.get_tensor("embedding.weight"), tokenizer)
print("[")
for index, (text, vector) in enumerate(zip(TEXTS, model.embed(TEXTS, norm=True))):
    numbers = ",".join(f"{number:.6f}" for number in vector)
    comma = "," if index + 1 < len(TEXTS) else ""
    print(f'{{"text":{json.dumps(text)},"vector":[{numbers}]}}{comma}')
print("]")
