from typing import final

from cqrs_fast.policies.keyed_buckets import Bucket
from cqrs_fast.waits.line import Line

@final
class TokenLines: ...

@final
class TokenLine(Line):
    def __init__(self, lines: TokenLines, bucket: Bucket) -> None: ...
