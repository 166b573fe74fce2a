"""The runtime on Apache Flink: an application's tables and views as one Flink SQL job between Kafka topics."""
