from typing import final

@final
class Await: ...
