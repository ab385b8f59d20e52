"""The function: greets, and says who answered."""

import json
import os
import random

LONGEST_NAME = 40
answered = 0


def share(text):
    """A share such as `5%` or `0.05`, as a number from 0 to 1."""
    text = text.strip()
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(f"FAULT must be a share from 0% to 100%, found {text!r}")
    return number


FAULT = share(os.environ.get("FAULT", "0%"))


def handle(event, fault=None, chance=random.random):
    """An HTTP request as an event (payload format 2.0) in, an HTTP answer out."""
    global answered
    answered += 1
    if chance() < (FAULT if fault is None else fault):
        return answer(500, {"error": "this release is faulty on purpose"})
    name = (event.get("queryStringParameters") or {}).get("name", "tide")
    return answer(
        200,
        {
            "greeting": f"Hello, {name[:LONGEST_NAME]}!",
            "release": os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "none"),
            "answered_by_this_instance": answered,
        },
    )


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body) + "\n"}
