"""How a process logs in to the API server: with the service account of its Pod, or as a kubeconfig says.

A Pod needs two files and two variables for it. They are read here, because the `kubernetes` package costs 20 MB and
half a second: it is imported only for a kubeconfig.
"""

import os
import ssl
import time
from pathlib import Path
from typing import Any, Protocol

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
"""The kubelet replaces a token long before it ends; so soon the new one is used."""


class NoLoginError(Exception):
    """There are no credentials; the message says what is missing."""


class Login(Protocol):
    """Credentials; `kubernetes.aio`'s Configuration is one."""

    host: str
    ssl_ca_cert: str | None
    ca_cert_data: Any
    cert_file: str | None
    key_file: str | None
    verify_ssl: bool
    disable_strict_ssl_verification: bool
    proxy: str | None
    proxy_headers: Any

    async def get_api_key_with_prefix(self, identifier: str) -> str | None:
        """The token with its scheme in front, as fresh as it is now."""


class PodLogin:
    """The service account of the Pod that the process is in; raises NoLoginError where it is in none."""

    def __init__(self, folder: Path = SERVICE_ACCOUNT) -> None:
        address, port = (os.environ.get(f"KUBERNETES_SERVICE_{word}", "") for word in ("HOST", "PORT"))
        if not address or not port:
            raise NoLoginError("this is no Pod (KUBERNETES_SERVICE_HOST and _PORT are not set); name a kubeconfig")
        self.host = f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
        self.ssl_ca_cert: str | None = str(folder / "ca.crt")
        self.ca_cert_data = None
        self.cert_file: str | None = None
        self.key_file: str | None = None
        self.verify_ssl = True
        self.disable_strict_ssl_verification = False
        self.proxy: str | None = None
        self.proxy_headers = None
        self._token_file = folder / "token"
        self._token = ""
        self._read_at = 0.0
        self._read_token()
        if not Path(self.ssl_ca_cert or "").is_file():
            raise NoLoginError(f"there is no {self.ssl_ca_cert}")

    async def get_api_key_with_prefix(self, identifier: str) -> str | None:  # noqa: ARG002 - a Login's signature
        """The token, read anew each minute; the last one where that fails."""
        if time.monotonic() - self._read_at > TOKEN_SECONDS:
            try:
                self._read_token()
            except NoLoginError:
                self._read_at = time.monotonic()
        return f"Bearer {self._token}"

    def _read_token(self) -> None:
        try:
            token = self._token_file.read_text().strip()
        except OSError as error:
            raise NoLoginError(f"the service account's token can't be read: {error}") from error
        if not token:
            raise NoLoginError(f"{self._token_file} is empty")
        self._token, self._read_at = token, time.monotonic()


async def log_in(kubeconfig: Path | None, context: str | None) -> Login:
    """Read the credentials, of the Pod where no file is named; raise NoLoginError."""
    if kubeconfig is None:
        return PodLogin()
    from kubernetes.aio import config
    from kubernetes.aio.client import Configuration

    login: Login = Configuration()
    try:
        await config.load_kube_config(str(kubeconfig), context, client_configuration=login)
    except config.ConfigException as error:
        raise NoLoginError(str(error)) from error
    return login


def ssl_context(login: Login) -> ssl.SSLContext:
    """Trust whom the login trusts, and show its certificate if it has one."""
    trusted = ssl.create_default_context(cafile=login.ssl_ca_cert, cadata=login.ca_cert_data)
    if login.cert_file:
        trusted.load_cert_chain(login.cert_file, keyfile=login.key_file)
    if not login.verify_ssl:
        trusted.check_hostname = False
        trusted.verify_mode = ssl.CERT_NONE
    if login.disable_strict_ssl_verification:
        trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return trusted
