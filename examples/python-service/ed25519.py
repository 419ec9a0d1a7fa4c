"""Ed25519 signatures (RFC 8032) in plain Python: NATS asks for one when a process connects, and the standard library has none.

Takes some milliseconds and is not constant in time, which is good enough for one signature a connection on a machine that is
yours. A service with other needs takes a library (PyNaCl, cryptography) instead.
"""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P

# Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z.
BASE_Y = 4 * pow(5, P - 2, P) % P


def _base_x():
    square = (BASE_Y * BASE_Y - 1) * pow(D * BASE_Y * BASE_Y + 1, P - 2, P) % P
    root = pow(square, (P + 3) // 8, P)
    if (root * root - square) % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    return root if root % 2 == 0 else P - root


BASE = (_base_x(), BASE_Y, 1, _base_x() * BASE_Y % P)


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | ((x & 1) << 255)).to_bytes(32, "little")


def _number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def sign(seed, message):
    """The signature of a message under the key that belongs to a seed of 32 bytes."""
    digest = hashlib.sha512(seed).digest()
    secret = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public = _encode(_multiply(secret, BASE))
    nonce = _number(digest[32:], message)
    commitment = _encode(_multiply(nonce, BASE))
    proof = (nonce + _number(commitment, public, message) * secret) % ORDER
    return commitment + proof.to_bytes(32, "little")
