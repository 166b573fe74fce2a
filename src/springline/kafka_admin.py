"""kafka-python's client for administration: for what librdkafka cannot ask of a broker, such as the states of transactions.

Only those who ask that need the library, which takes a while to load.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any, Final

NAMES: Final[Mapping[str, str]] = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
}
"""librdkafka's options, by kafka-python's names."""

# Broken connections are told by the calls that they concern.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


def connected(settings: Mapping[str, Any]) -> Any:
    """A client, once a broker has answered; close it. ``settings`` have kafka-python's names. Raises what the library raises, whose own
    constructor leaves a thread behind then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient.__new__(KafkaAdminClient)
        try:
            admin.__init__(**settings)
        except BaseException:
            for part, end in (("_client", "close"), ("_net", "stop")):
                if hasattr(admin, part):
                    getattr(getattr(admin, part), end)()
            raise
    return admin
