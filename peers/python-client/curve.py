"""X25519 and XEdDSA signing, the latter over plain integers (RFC 8032 formulas)."""
import hashlib
import os

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def _recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P:
        return None
    return P - x if x % 2 != sign else x


BASE = (_recover_x(BASE_Y, 0), BASE_Y)


def _add(a, b):
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P)


def _mul(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _compress(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def clamp(raw):
    raw = bytearray(raw)
    raw[0] &= 248
    raw[31] = raw[31] & 127 | 64
    return bytes(raw)


class KeyPair:
    def __init__(self, private=None):
        self.private = clamp(private or os.urandom(32))
        self._key = X25519PrivateKey.from_private_bytes(self.private)
        self.public = self._key.public_key().public_bytes_raw()

    def agree(self, public):
        return self._key.exchange(X25519PublicKey.from_public_bytes(public))

    def sign(self, message):
        a = int.from_bytes(self.private, "little") % Q
        public = _compress(_mul(a, BASE))
        nonce = hashlib.sha512(b"\xfe" + b"\xff" * 31 + self.private + message + os.urandom(64)).digest()
        r = int.from_bytes(nonce, "little") % Q
        big_r = _compress(_mul(r, BASE))
        h = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % Q
        signature = bytearray(big_r + ((r + h * a) % Q).to_bytes(32, "little"))
        signature[63] |= public[31] & 0x80
        return bytes(signature)


def verify(public, message, signature):
    signature = bytearray(signature)
    sign = signature[63] >> 7
    signature[63] &= 0x7F
    if signature[63] & 0xE0:
        return False
    u = int.from_bytes(public, "little") & (2**255 - 1)
    y = (u - 1) * pow(u + 1, P - 2, P) % P
    x = _recover_x(y, sign)
    if x is None:
        return False
    point = (x, y)
    h = int.from_bytes(hashlib.sha512(bytes(signature[:32]) + _compress(point) + message).digest(), "little") % Q
    s = int.from_bytes(signature[32:], "little")
    return _compress(_add(_mul(s, BASE), _mul(Q - h, point))) == bytes(signature[:32])
