/**
 * Signs with Node's own Ed25519 in place of tweetnacl's, in tests alone: in Jest's sandbox each look at a global such as `Math` is slow, and
 * tweetnacl takes a fifth of a second to sign what a connection to nats-server must sign. Same keys, same signatures.
 */
import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import nacl from 'tweetnacl';

const SEED_BYTES = 32;
/** Of an Ed25519 key: what stands before the seed in PKCS #8, and before the key in SPKI. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_HEAD_BYTES = 12;

function privateKey(seed: Uint8Array): KeyObject {
  const key = Buffer.concat([PKCS8_HEAD, seed.subarray(0, SEED_BYTES)]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

nacl.sign.keyPair.fromSeed = (seed) => {
  const der = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' });
  const publicKey = new Uint8Array(der.subarray(SPKI_HEAD_BYTES));
  return { publicKey, secretKey: new Uint8Array([...seed, ...publicKey]) };
};
const { verify } = nacl.sign.detached;
// A secret key is the seed and, after it, the public key.
nacl.sign.detached = Object.assign(
  (message: Uint8Array, secretKey: Uint8Array) => new Uint8Array(sign(null, message, privateKey(secretKey))),
  { verify },
);
