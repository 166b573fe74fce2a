"""Running an application: embedded in this process, or on Flink."""
