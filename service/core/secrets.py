"""What a secret looks like, and how it is kept out of everything that is printed or logged.

No code here prints a key on purpose. But callers put keys into the wrong field and operators into the wrong
setting, and refusals repeat what was sent; so whatever leaves as text passes through `redacted`.
"""

from __future__ import annotations

import re

KEY_PREFIX = "mwk_"
"""How every key starts, so that people and scanners of repositories know one when they see it."""

KEY_BYTES = 32
"""Random bytes in a key."""

_SECRETS = re.compile(
    rf"(?P<key>{KEY_PREFIX})[A-Za-z0-9_-]{{16,}}"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redacted(text: str) -> str:
    """The text with keys of this service and private keys in PEM replaced by asterisks."""
    return _SECRETS.sub(lambda found: f"{found['key'] or found['pem']}***", text)
