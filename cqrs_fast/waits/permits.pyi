from typing import final

from cqrs_fast.waits.line import Line

@final
class PermitLine(Line): ...
