"""The bundle as it is shipped: unpacked, started, and asked through a small stand-in for the Runtime API."""

import http.server
import json
import os
import queue
import stat
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

from package import package


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        event = self.server.events.get()
        if event is None:
            return self.reply(410, b"{}")
        self.reply(200, json.dumps(event).encode(), {"Lambda-Runtime-Aws-Request-Id": "r1"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.put((self.path, json.loads(body)))
        self.reply(202, b"{}")

    def reply(self, status, body, headers={}):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Bundle(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.zip = os.path.join(self.folder.name, "dist", "hello.zip")
        package(self.zip)

    def run_bundle(self, environment, events):
        task = os.path.join(self.folder.name, "task")
        with zipfile.ZipFile(self.zip) as bundle:
            bundle.extractall(task)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        server.events, server.answers = queue.Queue(), queue.Queue()
        for event in [*events, None]:
            server.events.put(event)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        environment = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:%d" % server.server_port, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        ended = subprocess.run([sys.executable, os.path.join(task, "bootstrap")], env=environment, capture_output=True, timeout=60)
        return ended.returncode, list(server.answers.queue)

    def test_the_same_files_give_the_same_bytes(self):
        again = os.path.join(self.folder.name, "again.zip")
        package(again)
        with open(self.zip, "rb") as one, open(again, "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_bootstrap_is_executable_and_on_top(self):
        with zipfile.ZipFile(self.zip) as bundle:
            self.assertEqual(bundle.namelist(), ["bootstrap", "handler.py"])
            mode = bundle.getinfo("bootstrap").external_attr >> 16
            self.assertTrue(mode & stat.S_IXUSR and stat.S_ISREG(mode))

    def test_it_answers_events_one_after_the_other(self):
        _, answers = self.run_bundle({"FAULT": "0%", "AWS_LAMBDA_FUNCTION_VERSION": "7"}, [{}, {"queryStringParameters": {"name": "Ada"}}])
        self.assertEqual([path for path, _ in answers], ["/2018-06-01/runtime/invocation/r1/response"] * 2)
        body = json.loads(answers[1][1]["body"])
        self.assertEqual(body, {"greeting": "Hello, Ada!", "release": "7", "answered_by_this_instance": 2})

    def test_with_all_requests_faulty_it_answers_500(self):
        _, answers = self.run_bundle({"FAULT": "100%"}, [{}])
        self.assertEqual(answers[0][1]["statusCode"], 500)

    def test_a_wrong_setting_is_said_at_the_start(self):
        code, answers = self.run_bundle({"FAULT": "many"}, [])
        self.assertEqual(code, 1)
        self.assertEqual(answers[0][0], "/2018-06-01/runtime/init/error")
        self.assertIn("FAULT must be a share", answers[0][1]["errorMessage"])

    def test_an_event_that_is_no_request_is_an_error_and_the_next_one_is_answered(self):
        _, answers = self.run_bundle({}, [[], {}])
        self.assertEqual([path.rsplit("/", 1)[1] for path, _ in answers], ["error", "response"])


if __name__ == "__main__":
    unittest.main()
