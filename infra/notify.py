"""Be told what needs a person: an automation that posts latentlake's events to a webhook (Slack, Teams, your own).

    PREFECT_API_URL=http://127.0.0.1:4200/api NOTIFY_URL=https://hooks.example/… python infra/notify.py

Run it again to change the URL. The URL is kept in a block of the server, and is a secret there.
"""

from __future__ import annotations

import os

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

NAME = "latentlake: tell a person"
EVENTS = {
    "latentlake.archive.damaged",
    "latentlake.bound.violated",
    "latentlake.expiry.asked",
    "latentlake.model.drift",
    "latentlake.partition.set-aside",
    "latentlake.partition.surprising",
}


def notify(url: str) -> None:
    """Make the block and the automation, or bring them up to date."""
    block = CustomWebhookNotificationBlock(
        name="latentlake", url="{{url}}", secrets={"url": url}, json_data={"text": "{{subject}}\n{{body}}"}
    )
    block_id = block.save("latentlake-notify", overwrite=True)
    wanted = AutomationCore(
        name=NAME,
        trigger=EventTrigger(expect=EVENTS, posture=Posture.Reactive, threshold=1),
        actions=[
            SendNotification(
                block_document_id=block_id,
                subject="{{ event.event }}: {{ event.payload.archive }}",
                body="{{ event.payload.partition }} {{ event.payload.problem }} {{ event.payload.reason }}",
            )
        ],
    )
    with get_client(sync_client=True) as client:
        for old in client.read_automations_by_name(NAME):
            client.delete_automation(old.id)
        client.create_automation(wanted)


if __name__ == "__main__":
    notify(os.environ["NOTIFY_URL"])
