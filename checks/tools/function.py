"""A Lambda function that is not ours: it speaks to the runtime API with nothing but the standard library, and misbehaves
as its first argument says. `echo` answers with the event that it got, as a door takes an answer."""

import http.client
import json
import os
import signal
import sys
import time

RUNTIME = "/2018-06-01/runtime/"
DELIMITER = b"\0" * 8


def post(connection, path, body, headers=None):
    connection.request("POST", RUNTIME + path, body, headers or {})
    connection.getresponse().read()


def stream(connection, path, pieces, error=None):
    """Sends a response piece by piece; with an error it ends as a function does that fails in the middle."""
    connection.putrequest("POST", RUNTIME + path)
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Content-Type", "application/vnd.awslambda.http-integration-response")
    connection.putheader("Transfer-Encoding", "chunked")
    if error:
        connection.putheader("Trailer", "Lambda-Runtime-Function-Error-Type")
    connection.endheaders()
    for piece in pieces:
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    trailers = b"Lambda-Runtime-Function-Error-Type: %s\r\n" % error if error else b""
    connection.send(b"0\r\n%s\r\n" % trailers)
    connection.getresponse().read()


def head(status):
    prelude = {"statusCode": status, "headers": {"content-type": "text/plain"}, "cookies": ["a=1"]}
    return json.dumps(prelude).encode()


def answer(mode, connection, context, event):
    path = "invocation/%s/" % context["Lambda-Runtime-Aws-Request-Id"]
    said = {"event": json.loads(event), "clientContext": context["Lambda-Runtime-Client-Context"], "pid": os.getpid()}
    body = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(said)}
    if "elb" in str(said["event"]) and "multiValueHeaders" in said["event"]:
        body["multiValueHeaders"] = {"content-type": ["application/json"]}
    match mode:
        case "echo":
            post(connection, path + "response", json.dumps(body))
        case "bare":
            post(connection, path + "response", json.dumps(said))
        case "challenge":
            body["statusCode"] = 401
            body["headers"] = {"www-authenticate": "Bearer", "server": "mine", "x-own": "1"}
            post(connection, path + "response", json.dumps(body))
        case "malformed":
            post(connection, path + "response", json.dumps({"status": 200, "text": "no status code"}))
        case "large":
            post(connection, path + "response", json.dumps(body | {"body": "x" * 7_000_000}))
        case "fail":
            error = {"errorType": "Shop.Closed", "errorMessage": "closed on mondays"}
            post(connection, path + "error", json.dumps(error))
        case "unauthorized":
            error = {"errorType": "Error", "errorMessage": "Unauthorized"}
            post(connection, path + "error", json.dumps(error))
        case "exit":
            sys.exit(3)
        case "hang":
            time.sleep(600)
        case "stream":
            stream(connection, path + "response", [head(201), DELIMITER, b"one ", b"two"])
        case "stream-split":
            whole = head(201) + DELIMITER + b"one two"
            stream(connection, path + "response", [whole[i : i + 1] for i in range(len(whole))])
        case "stream-fail":
            stream(connection, path + "response", [head(200), DELIMITER, b"one "], b"Shop.Closed")
        case "stream-headless":
            stream(connection, path + "response", [b"no status, no headers"])
        case _:
            sys.exit("function.py: no mode " + mode)


def main():
    mode = sys.argv[1]
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    if mode == "init-error":
        post(connection, "init/error", json.dumps({"errorType": "Shop.NoOven", "errorMessage": "there is no oven"}))
        sys.exit(1)
    if mode == "deaf":
        # neither the end of its terminal nor that of its runtime API ends it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    while True:
        connection.request("GET", RUNTIME + "invocation/next")
        try:
            response = connection.getresponse()
        except (http.client.HTTPException, OSError):
            if mode == "deaf":
                time.sleep(600)
            raise
        answer(mode, connection, response.headers, response.read())


main()
