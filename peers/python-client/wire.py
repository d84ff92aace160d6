"""Just enough of the stanza codec: nodes are (tag, {key: value}, content); JIDs are class Jid; content is None, bytes or a list."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Jid:
    user: str
    server: str
    integrator: int = 0


NIBBLES, HEXES = "0123456789-.", "0123456789ABCDEF"


class Codec:
    def __init__(self, tokens):
        """`tokens` is the text of tokens.tsv."""
        self.single, self.double = {}, {}
        for line in tokens.splitlines():
            if line and not line.startswith(("#", "dictionary")):
                book, index, word = line.split("\t")
                (self.single if book == "-1" else self.double)[word] = (int(book), int(index))
        self.by_byte = {index: word for word, (_, index) in self.single.items()}
        self.by_pair = {place: word for word, place in self.double.items()}

    # writing: never packs, which every reader must take
    def string(self, text):
        if text in self.single:
            return bytes([self.single[text][1]])
        if text in self.double:
            book, index = self.double[text]
            return bytes([236 + book, index])
        return self.raw(text.encode())

    @staticmethod
    def raw(data):
        if len(data) < 256:
            return bytes([252, len(data)]) + data
        return bytes([254]) + len(data).to_bytes(4, "big") + data

    def value(self, value):
        if not isinstance(value, Jid):
            return self.string(value)
        if value.integrator:
            return bytes([245]) + self.string(value.user) + b"\0\0" + value.integrator.to_bytes(2, "big") + self.raw(b"interop")
        return bytes([250]) + (self.string(value.user) if value.user else b"\0") + self.string(value.server)

    @staticmethod
    def head(count):
        return bytes([248, count]) if count < 256 else bytes([249]) + count.to_bytes(2, "big")

    def encode(self, node):
        tag, attrs, content = node
        out = self.head(1 + 2 * len(attrs) + (content is not None)) + self.string(tag)
        for key, value in attrs.items():
            out += self.string(key) + self.value(value)
        if isinstance(content, bytes):
            out += self.raw(content)
        elif content is not None:
            out += self.head(len(content)) + b"".join(self.encode(child) for child in content)
        return out

    # reading
    def decode(self, data):
        node, rest = self._node(data, 0)
        assert rest == len(data), "bytes behind the stanza"
        return node

    def _count(self, data, at):
        if data[at] == 0:
            return 0, at + 1
        if data[at] == 248:
            return data[at + 1], at + 2
        assert data[at] == 249, f"no list: {data[at]}"
        return int.from_bytes(data[at + 1 : at + 3], "big"), at + 3

    def _node(self, data, at):
        count, at = self._count(data, at)
        tag, at = self._value(data, at)
        attrs = {}
        for _ in range((count - 1) // 2):
            key, at = self._value(data, at)
            attrs[key], at = self._value(data, at)
        content = None
        if count % 2 == 0:
            if data[at] in (248, 249):
                size, at = self._count(data, at)
                content = []
                for _ in range(size):
                    child, at = self._node(data, at)
                    content.append(child)
            else:
                content, at = self._value(data, at, as_bytes=True)
        return (tag, attrs, content), at

    def _value(self, data, at, as_bytes=False):
        kind = data[at]
        at += 1
        if kind == 0:
            return "", at
        if 1 <= kind <= 235:
            return self.by_byte[kind], at
        if 236 <= kind <= 239:
            return self.by_pair[(kind - 236, data[at])], at + 1
        if kind in (251, 255):
            head, alphabet = data[at], HEXES if kind == 251 else NIBBLES
            body = data[at + 1 : at + 1 + (head & 127)]
            nibbles = [n for byte in body for n in (byte >> 4, byte & 15)]
            if head & 128:
                nibbles.pop()
            return "".join(alphabet[n] for n in nibbles), at + 1 + (head & 127)
        if kind in (252, 253, 254):
            width = {252: 1, 253: 3, 254: 4}[kind]
            size = int.from_bytes(data[at : at + width], "big") & (0xFFFFF if kind == 253 else 0xFFFFFFFF)
            body = bytes(data[at + width : at + width + size])
            return body if as_bytes else body.decode(), at + width + size
        if kind == 250:
            user, at = self._value(data, at)
            server, at = self._value(data, at)
            return Jid(user, server), at
        if kind == 247:
            domain, at = data[at], at + 2
            user, at = self._value(data, at)
            return Jid(user, "lid" if domain == 1 else "s.whatsapp.net"), at
        if kind == 245:
            user, at = self._value(data, at)
            integrator = int.from_bytes(data[at + 2 : at + 4], "big")
            at += 4
            if data[at : at + 9] == b"\xfc\x07interop":
                at += 9
            return Jid(user, "interop", integrator), at
        raise AssertionError(f"unexpected byte {kind}")
