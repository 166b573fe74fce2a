"""Kafka topics that others write, as a source. ``source`` needs the client library; the declarations in ``tables`` do not."""
