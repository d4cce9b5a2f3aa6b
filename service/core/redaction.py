"""What a secret looks like, and how it is kept out of everything that is printed or logged.

No code here prints a key on purpose. But callers put keys into the wrong field and operators into the wrong
setting, and error messages repeat what was sent; so all text that leaves passes through `redacted`. It is a
module of its own because errors, log lines and settings all need it, and the health command nothing else.
"""

from __future__ import annotations

import re

KEY_PREFIX = "mwk_"
"""How every API key starts, so that people and secret scanners recognise one."""

_SECRETS = re.compile(
    rf"(?P<key>{KEY_PREFIX})[A-Za-z0-9._-]{{16,}}"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redacted(text: str) -> str:
    """The text with API keys and private keys in PEM form replaced by asterisks."""
    return _SECRETS.sub(lambda found: f"{found['key'] or found['pem']}***", text)
