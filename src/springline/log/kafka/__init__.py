"""Topics: what capture writes to Kafka, what a Flink job makes of it, and how both are read back."""
