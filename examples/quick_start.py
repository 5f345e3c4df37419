"""The quick start: one command, one query, one object that handles both."""

from __future__ import annotations

import msgspec

from cqrs_fast import Command, CommandBus, Query, QueryBus, handles


class User(msgspec.Struct, frozen=True):
    """A stored user."""

    id: int
    name: str
    email: str


class CreateUser(Command[int]):
    """Create a user; the result is the new user's id."""

    name: str
    email: str


class GetUser(Query[User]):
    """Find a user."""

    user_id: int


class UserHandler:
    """Handle all messages about users."""

    def __init__(self) -> None:
        self.users: dict[int, User] = {}

    @handles(CreateUser)
    def create(self, command: CreateUser) -> int:
        """Store a new user."""
        user = User(len(self.users) + 1, command.name, command.email)
        self.users[user.id] = user
        return user.id

    @handles(GetUser)
    def get(self, query: GetUser) -> User:
        """Return a stored user."""
        if query.user_id not in self.users:
            raise LookupError(f"user not found: {query.user_id}")
        return self.users[query.user_id]


def run() -> User:
    """Create a user and read it back."""
    commands = CommandBus(enable_metrics=True)
    queries = QueryBus(enable_metrics=True)

    handler = UserHandler()
    commands.register(handler)
    queries.register(handler)

    user_id = commands.execute(CreateUser(name="John Doe", email="john@example.com"))
    return queries.execute(GetUser(user_id=user_id))


if __name__ == "__main__":
    print(f"Created user: {run()}")
