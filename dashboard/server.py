"""The dashboard's application: Streamlit's, downloads beside it, and a door before both."""

import gc
import logging
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit
from starlette.routing import Route
from starlette.types import ASGIApp
from streamlit.starlette import App
from streamlit.web import bootstrap

from dashboard.access import access_of
from dashboard.charts import bars
from dashboard.downloads import Downloads
from paywall_warehouse.quoting import printable_lines
from paywall_warehouse.settings import Settings
from paywall_warehouse.web.guard import Guard
from paywall_warehouse.web.server import MESSAGE_MEGABYTES

SCRIPT = Path(__file__).with_name("app.py")
# Whatever a `config.toml` in the user's or the working folder says.
STREAMLIT_OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    # Pages of Streamlit's own hosts could steer this one in a frame.
    "client.allowedOrigins": [],
    # A table's own download writes numbers as they are shown, and formulas as they are.
    "client.disableDataExport": True,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "logger.enableRich": False,
    "logger.level": "error",
    "runner.magicEnabled": False,
    "secrets.files": [],
    "server.baseUrlPath": "",
    "server.corsAllowedOrigins": [],
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": 1,
    "server.maxWidgetStateSize": MESSAGE_MEGABYTES,
}


def application(settings: Settings, host: str, script: Path = SCRIPT) -> ASGIApp:
    """The dashboard of a home, for a server that listens on `host`. Streamlit allows one a process."""
    bootstrap.load_config_options(STREAMLIT_OPTIONS)
    hide = Hidden(settings.secrets)
    for name in ("streamlit.error_util", "streamlit"):
        logging.getLogger(name).addFilter(hide)
    # Altair imports pandas when it draws for the first time: not while somebody waits for the first page.
    bars([("", 0, "")], "").to_dict()
    # Streamlit collects garbage after every run of the script, which stops everything else: a quarter of a
    # second through what stays for ever, and next to nothing without.
    gc.collect()
    gc.freeze()
    downloads = Route("/download/{name}", Downloads(settings))
    return Guard(App(script, routes=[downloads], on_script_error=_apologise), access_of(settings, host))


class Hidden(logging.Filter):
    """Takes secrets, and what moves a terminal's cursor, out of what Streamlit logs of an error."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = [part for secret in secrets for part in (secret, *secret.split(",")) if part]

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without them."""
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() + ("\n" + "".join(traceback.format_exception(error)) if error else "")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        record.msg, record.args, record.exc_info, record.exc_text = printable_lines(text), (), None, None
        return True


def _apologise(error: Exception) -> bool:
    """Say on the page that it failed; Streamlit has logged why, through `Hidden`."""
    streamlit.error(
        "This page could not be made. The log of the dashboard says why. Other pages, or other filters, may"
        " work.",
        icon=":material/error:",
    )
    return True
