# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand where the registry stands, and answer as the test says, until standard input ends.

cert, key: files; answers: what each question in turn is answered, the last one for ever:
{status, headers: [[name, value]], body}, or {bytes: sent first, again: sent from then on}.
Answers the questions that it was asked: [[method, path, headers]].
"""

import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked = json.loads(sys.stdin.readline())
questions: list[list[object]] = []
over = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        answers = asked["answers"]
        answer = answers[min(len(questions), len(answers) - 1)]
        questions.append([self.command, self.path, dict(self.headers)])
        if "bytes" in answer:
            self.close_connection = True
            self.wfile.write(answer["bytes"].encode("latin-1"))
            while "again" in answer and not over.wait(0.1):
                self.wfile.write(answer["again"].encode("latin-1"))
            return
        body = answer.get("body", "").encode()
        self.send_response(answer["status"])
        for name, value in [["Content-Length", str(len(body))], *answer.get("headers", [])]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *_args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        """Who asked has gone: that is what some tests are about."""


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(asked["cert"], asked["key"])
with Server(("", 5000), Handler) as server:
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    over.set()
print(json.dumps(questions))
