"""A small client of the simple query protocol, without packages: for comparing servers."""

import socket
import struct


class Server:
    """One connection. `ask` gives ("rows", [[text or None]]), ("ok", tag) or ("error", code, message)."""

    def __init__(self, port, user="postgres", database="postgres", timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        body = struct.pack("!i", 196608)
        for key, value in (("user", user), ("database", database)):
            body += key.encode() + b"\0" + value.encode() + b"\0"
        body += b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.buffer = b""
        while True:
            kind, body = self.message()
            if kind == b"E":
                raise ConnectionError(fields(body))
            if kind == b"R" and struct.unpack("!i", body[:4])[0] != 0:
                raise ConnectionError("only trust authentication")
            if kind == b"Z":
                return

    def take(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the server closed the connection")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def message(self):
        kind = self.take(1)
        (length,) = struct.unpack("!i", self.take(4))
        return kind, self.take(length - 4)

    def ask(self, sql):
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        rows, answer, described = [], None, False
        while True:
            kind, body = self.message()
            if kind == b"T":
                described = True
            elif kind == b"D":
                rows.append(row(body))
            elif kind == b"C" and answer is None:
                answer = ("rows", rows) if described else ("ok", body[:-1].decode())
            elif kind == b"E":
                found = fields(body)
                answer = ("error", found.get("C"), found.get("M"))
            elif kind == b"Z":
                return answer


def fields(body):
    found = {}
    for part in body.split(b"\0"):
        if part:
            found[chr(part[0])] = part[1:].decode()
    return found


def row(body):
    (count,) = struct.unpack("!h", body[:2])
    at, values = 2, []
    for _ in range(count):
        (length,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        if length < 0:
            values.append(None)
        else:
            values.append(body[at : at + length].decode())
            at += length
    return values
