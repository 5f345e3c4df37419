"""The one pattern for e-mail addresses."""

from typing import Annotated

import msgspec

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

Email = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})+\Z"
        ),
        max_length=254,
    ),
]
"""A string that looks like an e-mail address: that of the HTML standard, with a dot.

Only a message that is sent there shows that it exists. It stays a plain `str`, and may
be narrowed: `Annotated[Email, Meta(min_length=10)]`.
"""
