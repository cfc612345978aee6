"""HTTP and WebSocket by hand, so that what no well-behaved client would send can be sent."""

import base64
import json
import os
import select
import socket
import struct
import urllib.parse

PATIENCE_S = 10
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


class Http:
    """One kept-alive connection; opened again when the other side has closed it."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.path = parts.hostname, parts.port or 80, parts.path or "/"
        self.socket = None

    def post(self, body, content_type="application/json", length=None):
        """(status, body) of one POST. `length` is what the header claims, when not the truth."""
        size = len(body) if length is None else length
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: {content_type}\r\ncontent-length: {size}"
        )
        return self.raw(f"{head}\r\n\r\n".encode() + body)

    def raw(self, request):
        """(status, body) of the answer to these bytes; (None, b"") when there is none, only a closed connection."""
        kept = self.socket is not None
        answer = self._once(request)
        if answer[0] is None and kept:
            return self._once(request)  # a kept connection may have been closed behind our back
        return answer

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None

    def _once(self, request):
        if self.socket is None:
            self.socket = socket.create_connection((self.host, self.port), PATIENCE_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._send(request)
            return self._read()
        except (ConnectionError, BrokenPipeError):
            self.close()
            return None, b""

    def _send(self, request):
        """Sends until the other side answers: whoever refuses by the headers need not be sent the rest."""
        view = memoryview(request)
        while view:
            readable, writable, _ = select.select([self.socket], [self.socket], [], PATIENCE_S)
            if readable or not writable:
                return
            try:
                view = view[self.socket.send(view[:65536]) :]
            except (ConnectionError, BrokenPipeError):
                return  # it may have answered before it closed

    def _read(self):
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = self.socket.recv(65536)
            if not chunk:
                self.close()
                return None, b""
            received += chunk
        head, body = received.split(b"\r\n\r\n", 1)
        status = int(head.split(None, 2)[1])
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if b"content-length" in headers:
            body = self._fill(body, int(headers[b"content-length"]))
        elif b"chunked" in headers.get(b"transfer-encoding", b""):
            body = self._chunks(body)
        if headers.get(b"connection") == b"close" or status >= 400:
            self.close()
        return status, body

    def _fill(self, body, size):
        while len(body) < size:
            chunk = self.socket.recv(65536)
            if not chunk:
                break
            body += chunk
        return body

    def _chunks(self, rest):
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += self.socket.recv(65536)
            size, rest = rest.split(b"\r\n", 1)
            rest = self._fill(rest, int(size, 16) + 2)
            if int(size, 16) == 0:
                return body
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


class WebSocket:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), PATIENCE_S)
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.hostname}\r\nconnection: Upgrade\r\nupgrade: websocket"
        )
        self.socket.sendall(f"{head}\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(1) or self._ended()
        assert b" 101 " in answer.split(b"\r\n")[0], answer

    def ask(self, text):
        """The answer to one text message, as JSON."""
        self.frame(TEXT, text)
        while True:
            kind, payload = self.receive()
            if kind == CLOSE:
                return None
            if kind in (TEXT, BINARY):
                return json.loads(payload)

    def frame(self, kind, payload, final=True, masked=True, claims=None):
        """Sends one frame; `claims` is the length its header tells, when not the truth."""
        size = len(payload) if claims is None else claims
        mask = os.urandom(4) if masked else b""
        flag = 0x80 if masked else 0
        short = struct.pack("!BB", (0x80 if final else 0) | kind, flag | min(size, 126 if size < 65536 else 127))
        extended = b"" if size < 126 else struct.pack("!H", size) if size < 65536 else struct.pack("!Q", size)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked and len(payload) < 1 << 20 else payload
        try:
            self.socket.sendall(short + extended + mask + body)
        except (ConnectionError, BrokenPipeError):
            pass  # whoever refuses may close before we have finished

    def receive(self):
        try:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size == 126:
                [size] = struct.unpack("!H", self._exactly(2))
            elif size == 127:
                [size] = struct.unpack("!Q", self._exactly(8))
            return first & 0x0F, self._exactly(size)
        except (ConnectionError, BrokenPipeError):
            return CLOSE, b""

    def close(self):
        self.socket.close()

    def _exactly(self, size):
        received = b""
        while len(received) < size:
            received += self.socket.recv(size - len(received)) or self._ended()
        return received

    @staticmethod
    def _ended():
        raise ConnectionResetError("the other side closed the connection")
