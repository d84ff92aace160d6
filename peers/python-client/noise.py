"""Noise XX as deployed (the empty payload of the first message is not hashed), certificate check, transport."""
import hashlib
import hmac
import socket
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import proto
from curve import KeyPair, verify

HEADER = b"WA\x06\x03"


def hkdf(salt, ikm, info=b"", length=64):
    prk = hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()
    out = block = b""
    counter = 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        out, counter = out + block, counter + 1
    return out[:length]


def nonce(n):
    return bytes(4) + n.to_bytes(8, "big")


class Symmetric:
    def __init__(self):
        self.h = self.ck = b"Noise_XX_25519_AESGCM_SHA256".ljust(32, b"\0")
        self.k, self.n = None, 0
        self.mix_hash(HEADER)

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, secret):
        okm = hkdf(self.ck, secret)
        self.ck, self.k, self.n = okm[:32], okm[32:], 0

    def seal(self, plain):
        sealed = AESGCM(self.k).encrypt(nonce(self.n), plain, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        plain = AESGCM(self.k).decrypt(nonce(self.n), sealed, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return plain


def check_chain(chain, root, server_static):
    fields = proto.decode(chain)
    leaf, middle = proto.decode(fields[1]), proto.decode(fields[2])
    assert verify(root, middle[1], middle[2]), "intermediate is not signed by the root"
    middle_details, leaf_details = proto.decode(middle[1]), proto.decode(leaf[1])
    assert middle_details.get(2, 0) == 0, "issuer of the intermediate"
    assert verify(middle_details[3], leaf[1], leaf[2]), "leaf is not signed by the intermediate"
    assert leaf_details.get(2, 0) == middle_details.get(1, 0), "issuer of the leaf"
    now = time.time()
    for details in (middle_details, leaf_details):
        assert details.get(4, 0) <= now <= details.get(5, 0), "dates"
    assert leaf_details[3] == server_static, "leaf is for another key"


class Channel:
    """A connection after the handshake: send and receive stanzas (payloads without compression)."""

    def __init__(self, address, static, root, login, codec):
        host, port = address.rsplit(":", 1)
        self.codec = codec
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        state, ephemeral = Symmetric(), KeyPair()
        state.mix_hash(ephemeral.public)
        hello = proto.encode((2, proto.encode((1, ephemeral.public))))
        self.socket.sendall(HEADER + len(hello).to_bytes(3, "big") + hello)
        answer = proto.decode(proto.decode(self.frame())[3])
        state.mix_hash(answer[1])
        state.mix_key(ephemeral.agree(answer[1]))
        server = state.open(answer[2])
        state.mix_key(ephemeral.agree(server))
        check_chain(state.open(answer[3]), root, server)
        sealed_static = state.seal(static.public)
        state.mix_key(static.agree(answer[1]))
        sealed_login = state.seal(login)
        self.write(proto.encode((4, proto.encode((1, sealed_static), (2, sealed_login)))))
        okm = hkdf(state.ck, b"")
        self.tx, self.rx = AESGCM(okm[:32]), AESGCM(okm[32:])
        self.sent = self.received = 0

    def write(self, body):
        self.socket.sendall(len(body).to_bytes(3, "big") + body)

    def exactly(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise EOFError("the server closed the connection")
            data += piece
        return data

    def frame(self):
        return self.exactly(int.from_bytes(self.exactly(3), "big"))

    def send(self, node):
        self.write(self.tx.encrypt(nonce(self.sent), b"\0" + self.codec.encode(node), None))
        self.sent += 1

    def receive(self):
        plain = self.rx.decrypt(nonce(self.received), self.frame(), None)
        self.received += 1
        if plain[0] & 2:
            import zlib

            return self.codec.decode(zlib.decompress(plain[1:]))
        return self.codec.decode(plain[1:])

    def close(self):
        self.socket.close()
