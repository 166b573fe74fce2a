"""How an application sets its job's options."""

from __future__ import annotations

import re

import pytest

from springline.errors import ConfigurationError
from springline.runtime.flink.configuration import FIXED, configured, defaults


def test_what_is_given_goes_over_the_table() -> None:
    given = configured(4, {"state.backend.type": "rocksdb", "python.fn-execution.bundle.time": "5"})
    made = {**defaults(), **given}
    assert made["parallelism.default"] == "4"
    assert made["state.backend.type"] == "rocksdb"
    assert made["python.fn-execution.bundle.time"] == "5"


@pytest.mark.parametrize("name", sorted(FIXED))
def test_what_answers_stand_on_stays(name: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"Flink's {name} cannot be 'other'")):
        configured(1, {name: "other"})
    assert configured(1, {name: defaults()[name]})[name] == defaults()[name]
