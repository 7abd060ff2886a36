"""The dashboard's web application: Streamlit and the downloads, behind the access guard."""

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
from dashboard.charts import Bar, bars
from dashboard.downloads import Downloads
from dashboard.static_files import StaticFiles
from dashboard.warm_up import keep_warm
from paywall_warehouse.quoting import printable_lines
from paywall_warehouse.settings import Settings
from paywall_warehouse.web.guard import Guard
from paywall_warehouse.web.server import MESSAGE_MEGABYTES

SCRIPT = Path(__file__).with_name("app.py")
# These override a `config.toml` in the user's folder or the working folder.
STREAMLIT_OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    # Otherwise pages of Streamlit's own hosts could control this one in a frame.
    "client.allowedOrigins": [],
    # Streamlit's own download of a table writes formatted numbers, and unescaped formulas.
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
    """Return the dashboard of a home, for a server that listens on `host`.

    Streamlit allows only one in a process.
    """
    bootstrap.load_config_options(STREAMLIT_OPTIONS)
    redact = RedactingFilter(settings.secrets)
    for name in ("streamlit.error_util", "streamlit"):
        logging.getLogger(name).addFilter(redact)
    # Arrow imports pandas for its first list. Drawing a chart here saves the first visitor the wait.
    bars([Bar("", 0, "")], "")
    # Streamlit collects garbage after every run of the script, which stops everything else. That takes a
    # quarter of a second for the objects that stay for ever, and next to nothing once they are frozen.
    gc.collect()
    gc.freeze()
    keep_warm()
    downloads = Route("/download/{name}", Downloads(settings))
    app = App(script, routes=[downloads], on_script_error=_show_error)
    return Guard(StaticFiles(app), access_of(settings, host))


class RedactingFilter(logging.Filter):
    """Removes secrets and terminal control characters from Streamlit's error log."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = [part for secret in secrets for part in (secret, *secret.split(",")) if part]

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record, and let it through."""
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() + ("\n" + "".join(traceback.format_exception(error)) if error else "")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        record.msg, record.args, record.exc_info, record.exc_text = printable_lines(text), (), None, None
        return True


def _show_error(error: Exception) -> bool:
    """Show on the page that it failed. Streamlit has logged the error, through `RedactingFilter`."""
    streamlit.error(
        "This page could not be displayed. The dashboard's log has the reason. Other pages or filters may"
        " still work.",
        icon=":material/error:",
    )
    return True
