"""What a message class demands: checks in C, and payloads decoded against it."""
