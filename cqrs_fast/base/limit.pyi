from typing import final

@final
class Limit: ...
