"""Sending one message by one route: a Slack-compatible webhook, a signed webhook, or SMTP.

URLs, secrets and passwords are read from the environment when a message is sent. No error contains them, nor
anything that the other side answers, because an answer may repeat them.
"""

import hashlib
import hmac
import json
import smtplib
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from orchestration.alert_delivery.messages import Notification
from paywall_warehouse import env_file
from paywall_warehouse.settings import ENV_FILE
from warehouse.alerts.definitions import SLACK, SMTP, WEBHOOK, Route, is_loopback

TIMESTAMP: Final = "X-Paywall-Warehouse-Timestamp"
SIGNATURE: Final = "X-Paywall-Warehouse-Signature"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
TIMEOUT_SECONDS: Final = 5.0
# More of an answer is not read.
ANSWER_BYTES: Final = 64 << 10
SLACK_CHARACTERS: Final = 12_000
# Answers that may be others at the next try, besides server errors.
PASSING: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


class DeliveryError(Exception):
    """A message that was not taken. The text states the reason without URL, secret or answer."""

    def __init__(self, reason: str, *, is_of_route: bool = True) -> None:
        """State the reason. `is_of_route`: other messages would probably fail by this route as well."""
        super().__init__(reason)
        self.is_of_route = is_of_route


@dataclass(frozen=True)
class Sender:
    """Sends messages; tests use another clock and time-out."""

    timeout: float = TIMEOUT_SECONDS
    clock: Callable[[], float] = time.time

    def send(self, route: Route, message: Notification) -> None:
        """Send a message. Raises `DeliveryError` if the route does not take it."""
        if route.kind == SLACK:
            self._post(route, json.dumps({"text": slack_text(message)}).encode(), {}, message.key)
        elif route.kind == WEBHOOK:
            body = json.dumps(message.payload, ensure_ascii=False).encode()
            timestamp = str(int(self.clock()))
            secret = _variable(route, "secret_env")
            self._post(
                route,
                body,
                {TIMESTAMP: timestamp, SIGNATURE: signature(secret, timestamp, body)},
                message.key,
            )
        elif route.kind == SMTP:
            self._mail(route, message)

    def _post(self, route: Route, body: bytes, headers: Mapping[str, str], key: str) -> None:
        url = _checked_url(route)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "paywall-warehouse",
            IDEMPOTENCY_KEY: key,
            **headers,
        }
        deadline = time.monotonic() + 2 * self.timeout
        try:
            with requests.Session() as session:
                # A redirect would pass the message on to another host. `.netrc` must not add a password.
                answer = session.post(
                    url,
                    data=body,
                    headers=headers,
                    timeout=self.timeout,
                    allow_redirects=False,
                    stream=True,
                    auth=lambda request: request,
                )
                with answer:
                    status = answer.status_code
                    _read_some(answer, deadline)
        except requests.exceptions.RequestException as error:
            raise DeliveryError(_reason(error)) from None
        except (ValueError, OSError):  # a URL or header that cannot be sent; a connection that breaks
            raise DeliveryError("the request could not be sent") from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            is_of_route = status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status < 400
            raise DeliveryError(f"the answer was HTTP {status}", is_of_route=is_of_route)

    def _mail(self, route: Route, message: Notification) -> None:
        options = route.options
        user = _variable(route, "user_env") if options["user_env"] else None
        password = _variable(route, "password_env") if options["password_env"] else None
        security = options["security"]
        port = options["port"] or PORTS[security]
        context = ssl.create_default_context()
        try:
            server = (
                smtplib.SMTP_SSL(options["host"], port, timeout=self.timeout, context=context)
                if security == "tls"
                else smtplib.SMTP(options["host"], port, timeout=self.timeout)
            )
            with server:
                if security == "starttls":
                    server.starttls(context=context)
                if user is not None and password is not None:
                    server.login(user, password)
                server.send_message(mail(route, message))
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(f"the mail server answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused:
            raise DeliveryError("the mail server refused every recipient") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryError(_mail_reason(error)) from None


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a body: HMAC-SHA256 of `<timestamp>.<body>`, in hexadecimal."""
    signed = timestamp.encode() + b"." + body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def slack_text(message: Notification) -> str:
    """Return the text for Slack. Characters with which Slack mentions people and channels are escaped."""
    text = message.text if len(message.text) <= SLACK_CHARACTERS else f"{message.text[:SLACK_CHARACTERS]}…"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mail(route: Route, message: Notification) -> EmailMessage:
    """Return the mail. Its `Message-ID` is made of the key, so that a repeated one is recognised."""
    sender = route.options["from"]
    content = EmailMessage()
    content["Subject"] = message.subject
    content["From"] = sender
    content["To"] = ", ".join(route.options["to"])
    content["Date"] = formatdate()
    content["Message-ID"] = f"<{message.key}@{sender.rpartition('@')[2]}>"
    content["Auto-Submitted"] = "auto-generated"
    content.set_content("\n".join(message.lines) + "\n")
    return content


def _variable(route: Route, key: str) -> str:
    name = route.options[key]
    text = env_file.variable_text(name, Path(ENV_FILE))
    if text is None:
        raise DeliveryError(f"the environment variable {name} is not set")
    return text


def _checked_url(route: Route) -> str:
    name = route.options["url_env"]
    url = _variable(route, "url_env")
    try:
        split = urlsplit(url)
        host, scheme = split.hostname, split.scheme
    except ValueError:
        host, scheme = None, ""
    if scheme not in ("http", "https") or not host:
        raise DeliveryError(f"{name} is not a URL that begins with https://")
    if scheme == "http" and not route.options["allow_http"] and not is_loopback(host):
        raise DeliveryError(f"{name} begins with http://; use https://, or state allow_http: true")
    return url


def _read_some(answer: requests.Response, deadline: float) -> None:
    """Read the beginning of an answer, so that the other side can finish."""
    size = 0
    for chunk in answer.iter_content(4096):
        size += len(chunk)
        if size > ANSWER_BYTES or time.monotonic() > deadline:
            return


def _reason(error: requests.exceptions.RequestException) -> str:
    """Return why a request failed. The text of the error is not shown: it contains the URL."""
    kinds: dict[type[Exception], str] = {
        requests.exceptions.SSLError: "the certificate of the host is not valid",
        requests.exceptions.ProxyError: "the proxy did not answer",
        requests.exceptions.Timeout: "there was no answer in time",
        requests.exceptions.ConnectionError: "there is no connection to the host",
    }
    return next((text for kind, text in kinds.items() if isinstance(error, kind)), "the request failed")


def _mail_reason(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return "the mail server did not answer in time"
    if isinstance(error, ssl.SSLError):
        return "the certificate of the mail server is not valid"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "the mail server does not support what is asked for, such as STARTTLS"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "the mail server closed the connection"
    return "there is no connection to the mail server"
