from typing import final

@final
class Ids: ...

@final
class EntryIndex: ...
