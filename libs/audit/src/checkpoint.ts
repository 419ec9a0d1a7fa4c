/**
 * Signed checkpoints: how far a tenant's chain had come, and what stood for all of it. Whoever holds one, and the public key, can tell that
 * nothing up to it was changed, taken out or cut off; so they are kept in a second place, which the database's owner does not have.
 */
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { CallboardError, canonicalJson } from '@callboard/envelope';
import { digestOf } from './ledger-entry.js';

export interface Checkpoint {
  checkpoint_version: '1.0';
  tenant_id: string;
  position: number;
  hash: string;
  stream_sequence: number;
  at: string;
  /** Of the public key. */
  key: string;
}

/** A checkpoint as it is kept: the text that was signed, and the signature. */
export interface SignedCheckpoint {
  tenant_id: string;
  position: number;
  body: string;
  signature: string;
  /** The message of AUDIT by which a database files it. */
  stream_sequence?: number;
}

/** DER of an Ed25519 private key in PKCS #8, but for the 32 bytes of its seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

export class CheckpointSigner {
  readonly #key: KeyObject;
  readonly publicKey: CheckpointKey;

  /** @param seed 32 random bytes */
  constructor(seed: Uint8Array) {
    if (seed.length !== 32) throw new RangeError('The seed of a signing key has 32 bytes.');
    this.#key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
    this.publicKey = CheckpointKey.of(createPublicKey(this.#key));
  }

  sign(checkpoint: Omit<Checkpoint, 'checkpoint_version' | 'key'>): SignedCheckpoint {
    const { tenant_id, position } = checkpoint;
    const body = canonicalJson({ ...checkpoint, checkpoint_version: '1.0', key: this.publicKey.id });
    return { tenant_id, position, body, signature: sign(null, Buffer.from(body), this.#key).toString('base64url') };
  }
}

export class CheckpointKey {
  private constructor(
    private readonly key: KeyObject,
    /** The public key, base64url of its 32 bytes; how it is handed on. */
    readonly text: string,
    readonly id: string,
  ) {}

  static of(key: KeyObject): CheckpointKey {
    const text = String(key.export({ format: 'jwk' }).x);
    return new CheckpointKey(key, text, digestOf(text).slice(0, 16));
  }

  /** @throws CallboardError when the text is no public key */
  static parse(text: string): CheckpointKey {
    try {
      return CheckpointKey.of(createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text }, format: 'jwk' }));
    } catch (cause) {
      throw new CallboardError('invalid_request', 'The public key is not an Ed25519 key in base64url', { cause });
    }
  }

  /** What the checkpoint says, if it is signed with this key and is kept under what it says. */
  open({ tenant_id, position, body, signature, stream_sequence }: SignedCheckpoint): Checkpoint | undefined {
    if (!verify(null, Buffer.from(body), this.key, Buffer.from(signature, 'base64url'))) return undefined;
    const checkpoint = JSON.parse(body) as Checkpoint;
    const filed =
      checkpoint.tenant_id === tenant_id &&
      checkpoint.position === position &&
      (stream_sequence === undefined || checkpoint.stream_sequence === stream_sequence);
    return filed ? checkpoint : undefined;
  }
}
