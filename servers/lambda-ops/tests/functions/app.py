"""The functions of the contract tests (tests/it/contract.rs), in Python."""


def handler(event, context):
    return {"received": event}


def fail(event, context):
    raise ValueError("this function fails on every event")
