"""The durable, ordered, replayable buffer between capture and everything else."""
