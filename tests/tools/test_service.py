"""The benchmark of a service: real requests, and what is printed of them."""

from __future__ import annotations

import socket
import sys
from types import ModuleType

import pytest
from places import ROOT

sys.path.append(str(ROOT))


@pytest.fixture
def service() -> ModuleType:
    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package, reason="the service needs it: extra `bench`")
    from benchmarks import service

    return service


def test_both_paths_insert_a_row_for_each_request(service: ModuleType) -> None:
    # It raises unless the file has a row for each request.
    direct, piped = service.measured(0.1)
    assert len(direct) == len(piped) >= 2
    assert min(direct + piped) > 0


def test_the_pipeline_has_all_its_stages(service: ModuleType) -> None:
    commands = service.bus()
    commands.register_handler(service.AddBolt, lambda bolt: 1)
    assert [stage.kind for stage in commands.describe()[0].stages] == [
        "Metrics",
        "TimeoutMiddleware",
        "ValidationMiddleware",
        "RateLimitingMiddleware",
        "RetryMiddleware",
        "CircuitBreakerMiddleware",
        "BulkheadMiddleware",
    ]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b""])
def test_a_wrong_answer_ends_the_benchmark(service: ModuleType, answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(RuntimeError, match="the service gave a wrong answer: b'"):
            service.answered(ours)


def test_an_answer_may_come_in_parts(service: ModuleType) -> None:
    class Connection:
        parts = iter([b"HTTP/1.1 200 OK\r\n", b"\r\n{", service.ANSWER[1:]])

        def recv(self, size: int) -> bytes:
            return next(self.parts)

    service.answered(Connection())
    assert list(Connection.parts) == []


def test_the_ratio_is_that_of_pairs(service: ModuleType) -> None:
    direct = [0.001] * 20 + [0.010] * 20
    piped = [0.002] * 20 + [0.020] * 20
    text = service.summary([direct, piped])
    assert text.startswith("/direct       182 requests/s in the median round,   1000")
    assert "without: 0.500, the median of 40 pairs of rounds" in text
    assert "(of each tenth of them 0.500 to 0.500); 0.500 in the best rounds" in text


def test_too_few_rounds_are_rejected(service: ModuleType) -> None:
    with pytest.raises(ValueError, match="1 pairs of rounds are too few: at least 10"):
        service.summary([[0.001], [0.001]])
