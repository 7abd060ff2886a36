"""Access to the dashboard: from this machine, with the password, or through a trusted proxy."""

from paywall_warehouse.settings import Settings
from paywall_warehouse.web.guard import Access
from paywall_warehouse.web.origins import Hosts

HEALTH = "/_stcore/health"


def access_of(settings: Settings, host: str) -> Access:
    """Return the access rules of the settings, for a dashboard that listens on `host`."""
    return Access(
        name="This dashboard",
        remedy=(
            "To let others in, set DASHBOARD_PASSWORD, or name the hosts by which they reach it in"
            " DASHBOARD_HOSTS."
        ),
        hosts=Hosts.of(host, settings.dashboard_hosts),
        password=settings.dashboard_password,
        header=settings.dashboard_trusted_header,
        proxies=settings.dashboard_trusted_proxies,
        health=HEALTH,
    )
