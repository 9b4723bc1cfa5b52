"""Has the tests of redis-py connect by TLS where they would build a connection of their own, and prints the outcome of each test."""

import os

import redis.connection


def pytest_configure(config):
    import tests.conftest

    # It names the class itself and so overrides the one of a rediss:// URL.
    tests.conftest.Connection = redis.connection.SSLConnection


def pytest_runtest_logreport(report):
    # The outcome of the test itself, or of what went wrong before or after it.
    if report.when == "call" or report.outcome != "passed":
        with open(os.environ["OUTCOMES"], "a", encoding="utf-8") as file:
            print(report.outcome, report.nodeid.encode("unicode_escape").decode(), file=file)
