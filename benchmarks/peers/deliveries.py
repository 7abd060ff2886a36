"""Signed deliveries for locust.

Each is a usage charge with new ids, so that acknowledged deliveries can be counted on the disk.
"""

import hashlib
import hmac
import json
import os
import uuid

from locust import FastHttpUser, constant_throughput, task

SECRET = os.environ["PAYWALLS_WEBHOOK_SECRET"].encode()
# 0 means as fast as the answers arrive.
EACH_PER_SECOND = float(os.environ["DELIVERIES_EACH_PER_SECOND"])


class Sender(FastHttpUser):  # type: ignore[misc]  # locust has no types
    """One connection of Paywalls.ai."""

    if EACH_PER_SECOND:
        wait_time = constant_throughput(EACH_PER_SECOND)

    @task  # type: ignore[untyped-decorator]
    def deliver(self) -> None:
        """Send a delivery in the flat form."""
        one = uuid.uuid4().hex
        data = {
            "walletUserId": f"w_{one[:3]}",
            "activityId": f"act_{one}",
            "model": "gpt-4.1",
            "promptTokens": 1200,
            "cost": "0.018",
        }
        event = {
            "id": f"evt_{one}",
            "paywallId": "pw_live_123",
            "type": "paywall.usage.charge.created",
            "version": "2024-05-01",
            "createdAt": "2026-10-01T12:00:00Z",
            "status": "pending",
            "attempts": 1,
            "data": data,
        }
        body = json.dumps(event).encode()
        self.client.post(
            "/",
            data=body,
            headers={"X-Paywalls-Signature": hmac.new(SECRET, body, hashlib.sha256).hexdigest()},
        )
