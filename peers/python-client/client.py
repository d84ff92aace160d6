"""Drives `landbridge sandbox` through the milestones. One line per check; the first failure ends the run with 1."""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import proto
from curve import KeyPair, verify
from noise import Channel, hkdf
from wire import Codec, Jid

SERVER = Jid("", "s.whatsapp.net")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n):
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


class Partner:
    """JWKS over HTTP and tokens."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self.key.public_key().public_numbers()
        jwk = {"kid": "python-1", "kty": "RSA", "alg": "RS256", "use": "sig", "n": b64(number(numbers.n)), "e": b64(number(numbers.e))}
        document = json.dumps({"keys": [jwk]}).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path == "/.well-known/oauth/openid/jwks"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(document) if found else 0))
                self.end_headers()
                self.wfile.write(document if found else b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def token(self, user, key=None, **changes):
        now = int(time.time())
        header = {"kid": "python-1", "alg": "RS256", "typ": "JWT"}
        claims = {"iss": self.url, "aud": "WHATSAPP", "sub": user, "iat": now, "exp": now + 3600} | changes
        text = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        return text + "." + b64((key or self.key).sign(text.encode(), rsa_padding.PKCS1v15(), hashes.SHA256()))


class User:
    def __init__(self, name):
        self.name, self.auth, self.identity, self.signed = name, KeyPair(), KeyPair(), KeyPair()
        self.registration = 4711
        self.signature = self.identity.sign(b"\5" + self.signed.public)

    def form(self, credential, **changes):
        return {
            "user_identifier": self.name, "e_ident": b64(self.identity.public), "e_keytype": "BQ",
            "e_regid": b64(self.registration.to_bytes(4, "big")), "e_skey_id": b64(b"\0\0\1"),
            "e_skey_val": b64(self.signed.public), "e_skey_sig": b64(self.signature),
            "authkey": b64(self.auth.public), "integrator_id": "1", "token": credential,
        } | changes

    def login(self, account, token):
        interop = proto.encode((1, account), (2, token), (3, 1))
        agent = proto.encode((1, 0), (2, proto.encode((1, 1))))
        return proto.encode((3, 1), (5, agent), (7, self.name), (20, 2), (33, 1), (38, interop))


def post(url, body, content_type):
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None


def enlist(url, form):
    return post(url, urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")[1]


def child(node, tag):
    return next((c for c in node[2] or [] if c[0] == tag), None)


def until(channel, tag, **attrs):
    """Receives until a stanza fits; everything else is passed over."""
    for _ in range(50):
        node = channel.receive()
        if node[0] == tag and all(node[1].get(k) == v for k, v in attrs.items()):
            return node
    raise AssertionError(f"no <{tag}> with {attrs} came")


def first_message(user, peer_bundle, text):
    """X3DH and the first pkmsg of a session, as bytes."""
    identity, signed, one_time = peer_bundle["identity"], peer_bundle["skey"][1], peer_bundle["key"]
    base, ratchet = KeyPair(), KeyPair()
    secret = b"\xff" * 32 + user.identity.agree(signed) + base.agree(identity) + base.agree(signed)
    if one_time:
        secret += base.agree(one_time[1])
    root = hkdf(b"", secret, b"WhisperText")[:32]
    chain = hkdf(root, ratchet.agree(signed), b"WhisperRatchet")[32:]
    seed = hmac.new(chain, b"\1", hashlib.sha256).digest()
    keys = hkdf(b"", seed, b"WhisperMessageKeys", 80)
    plain = proto.encode((1, text))
    plain += bytes([5]) * 5
    pkcs = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(keys[:32]), modes.CBC(keys[64:])).encryptor()
    sealed = cipher.update(pkcs.update(plain) + pkcs.finalize()) + cipher.finalize()
    inner = b"\x33" + proto.encode((1, b"\5" + ratchet.public), (2, 0), (3, 0), (4, sealed))
    mac = hmac.new(keys[32:64], b"\5" + user.identity.public + b"\5" + identity + inner, hashlib.sha256).digest()[:8]
    fields = [(2, b"\5" + base.public), (3, b"\5" + user.identity.public), (4, inner + mac), (5, user.registration), (6, peer_bundle["skey"][0])]
    if one_time:
        fields.insert(0, (1, one_time[0]))
    return b"\x33" + proto.encode(*fields)


def bundle_of(node):
    part = {c[0]: c[2] for c in node[2]}
    key = lambda items: None if items is None else {c[0]: c[2] for c in items}
    skey, one = key(part["skey"]), key(part.get("key"))
    assert verify(part["identity"], b"\5" + skey["value"], skey["signature"]), "signed prekey of the phone"
    return {
        "identity": part["identity"],
        "skey": (int.from_bytes(skey["id"], "big"), skey["value"]),
        "key": one and (int.from_bytes(one["id"], "big"), one["value"]),
    }


def run(binary):
    partner, passed = Partner(), []

    def step(text):
        passed.append(text)
        print(f"ok  {text}", flush=True)

    sandbox = subprocess.Popen(
        [binary, "sandbox", "--partner", f"1={partner.url}", "--ready-json", "--chat", "127.0.0.1:0", "--http", "127.0.0.1:0", "--calm"],
        stdout=subprocess.PIPE,
    )
    try:
        ready = json.loads(sandbox.stdout.readline())
        assert ready["ready"] is True
        step(f"the sandbox is ready: chat {ready['chat']}")
        root, codec = bytes.fromhex(ready["root_key"]), Codec(pathlib.Path(__file__).with_name("tokens.tsv").read_text())
        user = User("zoë")
        other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        refused = enlist(ready["enlist"], user.form(partner.token("zoë", other_key)))
        assert refused["status"] == "fail" and refused["reason"] == "bad_token", refused
        step("a token under another key is refused: bad_token")
        for field, value, reason in [
            ("e_ident", "AAAA", "bad_param"), ("e_keytype", "Bg", "bad_param"), ("token", "", "missing_param"),
            ("integrator_id", "999", "bad_integrator"), ("user_identifier", "zoe", "bad_token"),
        ]:
            answer = enlist(ready["enlist"], user.form(partner.token("zoë"), **{field: value}))
            assert answer["reason"] == reason, (field, answer)
        step("wrong fields are refused with their reasons")
        answer = enlist(ready["enlist"], user.form(partner.token("zoë")))
        assert answer["status"] == "ok", answer
        assert enlist(ready["enlist"], user.form(partner.token("zoë"))) == answer, "a repeat changes nothing"
        account = int(answer["login"].split("@")[0].split("-")[1])
        step(f"enlisted: {answer['login']}")

        thief = User("zoë")
        channel = Channel(ready["chat"], thief.auth, root, thief.login(account, partner.token("zoë")), codec)
        assert channel.receive()[1]["reason"] == "401"
        step("another static key gets failure 401")

        channel = Channel(ready["chat"], user.auth, root, user.login(account, partner.token("zoë")), codec)
        success = until(channel, "success")
        assert abs(int(success[1]["t"]) - time.time()) < 5
        step("logged in over Noise XX")
        channel.send(("iq", {"id": "p-1", "xmlns": "w:p", "type": "get", "to": SERVER}, None))
        until(channel, "iq", id="p-1", type="result")
        step("ping answered")
        keys = [(n, KeyPair()) for n in range(1, 21)]
        upload = [
            ("registration", {}, user.registration.to_bytes(4, "big")), ("type", {}, b"\5"), ("identity", {}, user.identity.public),
            ("list", {}, [("key", {}, [("id", {}, n.to_bytes(3, "big")), ("value", {}, k.public)]) for n, k in keys]),
            ("skey", {}, [("id", {}, b"\0\0\1"), ("value", {}, user.signed.public), ("signature", {}, user.signature)]),
        ]
        channel.send(("iq", {"id": "u-1", "xmlns": "encrypt", "type": "set", "to": SERVER}, upload))
        until(channel, "iq", id="u-1", type="result")
        channel.send(("iq", {"id": "c-1", "xmlns": "encrypt", "type": "get", "to": SERVER}, [("count", {}, None)]))
        counted = until(channel, "iq", id="c-1", type="result")
        assert child(counted, "count")[1]["value"] == "20", counted
        step("20 one-time prekeys uploaded and counted")
        channel.send(("iq", {"id": "a-1", "xmlns": "passive", "type": "set", "to": SERVER}, [("active", {}, None)]))
        until(channel, "iq", id="a-1", type="result")
        step("active")

        phone = post(ready["control"] + "/phones", json.dumps({"number": "14155551001", "name": "Python's friend"}).encode(), "application/json")
        assert phone[0] in (200, 201), phone
        address = Jid("14155551001", "s.whatsapp.net")
        channel.send(("iq", {"id": "k-1", "xmlns": "encrypt", "type": "get", "to": SERVER}, [("key", {}, [("user", {"jid": address}, None)])]))
        bundle = bundle_of(child(child(until(channel, "iq", id="k-1", type="result"), "list"), "user"))
        step("key bundle of a phone fetched, its signature verified")
        text = "Grüße aus Python 🐍"
        message = ("message", {"to": address, "id": "PY0001", "type": "text"}, [("enc", {"v": "2", "type": "pkmsg"}, first_message(user, bundle, text))])
        channel.send(message)
        ack = until(channel, "ack", id="PY0001")
        assert "error" not in ack[1], ack
        until(channel, "receipt", id="PY0001")
        step("a pkmsg sent, acked, and its delivery receipt seen")
        with urllib.request.urlopen(ready["control"] + "/phones/14155551001/messages", timeout=20) as shown:
            assert text in json.dumps(json.load(shown), ensure_ascii=False)
        step("the phone shows the text")
        channel.send(("iq", {"id": "b-1", "xmlns": "blocklist", "type": "set", "to": SERVER}, [("item", {"jid": address, "action": "block"}, None)]))
        until(channel, "iq", id="b-1", type="result")
        channel.send(("iq", {"id": "b-2", "xmlns": "blocklist", "type": "get", "to": SERVER}, None))
        listed = until(channel, "iq", id="b-2", type="result")
        assert "14155551001" in repr(listed), listed
        step("blocked, and in the list")
        account_ns = "urn:xmpp:whatsapp:account"
        channel.send(("iq", {"id": "d-1", "xmlns": account_ns, "type": "get", "to": SERVER}, [("remove", {"xmlns": account_ns}, None)]))
        until(channel, "iq", id="d-1", type="result")
        channel.close()
        channel = Channel(ready["chat"], user.auth, root, user.login(account, partner.token("zoë")), codec)
        assert until(channel, "failure")[1]["reason"] == "401"
        again = enlist(ready["enlist"], user.form(partner.token("zoë")))
        assert again["status"] == "ok" and again["login"] != answer["login"], again
        step("deleted: the next login fails with 401, enlisting again gives a new account")
        print(f"{len(passed)} passed, 0 failed")
    finally:
        sandbox.terminate()
        assert sandbox.wait(timeout=20) == 0, "the sandbox ends cleanly on SIGTERM"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the landbridge program")
    run(os.path.abspath(parser.parse_args().binary))
