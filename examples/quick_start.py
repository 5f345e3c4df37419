"""The quick start: one command, one query, one object that handles both."""

from __future__ import annotations

import msgspec

from cqrs_fast import Command, CommandBus, Query, QueryBus, handles


class User(msgspec.Struct, frozen=True):
    """What the service keeps."""

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
    """Handle everything about users."""

    def __init__(self) -> None:
        self.users: dict[int, User] = {}

    @handles(CreateUser)
    def create(self, command: CreateUser) -> int:
        """Keep a new user."""
        user = User(len(self.users) + 1, command.name, command.email)
        self.users[user.id] = user
        return user.id

    @handles(GetUser)
    def get(self, query: GetUser) -> User:
        """Return a user that was created before."""
        if query.user_id not in self.users:
            raise LookupError(f"user not found: {query.user_id}")
        return self.users[query.user_id]


def run() -> User:
    """Create a user and ask for it."""
    commands = CommandBus(enable_metrics=True)
    queries = QueryBus(enable_metrics=True)

    handler = UserHandler()
    commands.register(handler)
    queries.register(handler)

    user_id = commands.execute(CreateUser(name="John Doe", email="john@example.com"))
    return queries.execute(GetUser(user_id=user_id))


if __name__ == "__main__":
    print(f"Created user: {run()}")
