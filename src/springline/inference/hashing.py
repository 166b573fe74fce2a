"""An embedder without a model: hashed words and character n-grams.

It stands in where no model is installed, and in tests. Its vectors compare *spelling*, not meaning, in every language alike; the
knowledge base says so. "Hashing trick": Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from springline.core.text import CJK
from springline.inference.base import TextRole, Vectors, normalised

_RUN = re.compile(rf"[{CJK}]+|[^\W_{CJK}]+")
_CJK_RUN = re.compile(rf"[{CJK}]")
_STOP_WORDS = frozenset(
    "a an and are as at be by for from i in is it my of on or that the this to was what with you your".split()
)


class HashingEmbedder:
    """Deterministic on every machine. Speaks every language equally superficially."""

    name = "hashing"
    languages = None
    maximum_tokens = 1_000_000
    batch_size = 64

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = dimensions
        self.model = f"springline-hashing/1/{dimensions}"

    def embed(self, texts: Sequence[str], *, role: TextRole = "passage") -> Vectors:
        matrix = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(matrix, texts, strict=True):
            for feature, count in Counter(_features(text)).items():
                code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                weight = (1.0 + np.log(count)) * (1.0 if feature[0] == "w" else 0.4)
                row[code % self.dimensions] += weight if code & 0x80000000 else -weight
        return normalised(matrix) if texts else matrix

    def close(self) -> None:
        pass


def _features(text: str) -> Iterator[str]:
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        run = match[0]
        if _CJK_RUN.match(run):
            yield from (f"c{character}" for character in run)
            yield from (f"w{run[index : index + 2]}" for index in range(len(run) - 1))
        elif run not in _STOP_WORDS:
            yield f"w{run}"
            padded = f"<{run}>"
            yield from (f"g{padded[index : index + 3]}" for index in range(len(padded) - 2))
