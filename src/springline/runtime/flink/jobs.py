"""Flink's jobs as the coordinator needs them."""

from __future__ import annotations

from springline.runtime.flink.rest import FlinkRest

from springline.log.kafka.cut import Deployed


class FlinkJobs:
    """Implements ``coordinator.Jobs``: each deployment says at which address its cluster answers."""

    def checkpoint(self, deployed: Deployed, timeout_s: float) -> int:
        return FlinkRest(deployed.rest).checkpoint(deployed.job_id, timeout_s=timeout_s).number

    def cancel(self, deployed: Deployed) -> None:
        FlinkRest(deployed.rest).cancel(deployed.job_id)
