/**
 * The tokens with which callers came, lent to the runner of their commands and kept nowhere: the front end that took a call has its token in
 * memory while the command lives, and answers for it at `caller.<tenant>.<correlation_id>`. Only runners may ask there.
 *
 * T1  A token is in no envelope, stream, log or error. It travels once for each attempt, sealed to a key that the runner made for this one question.
 * T2  It is lent no longer than it is good for, and not after the command has ended or its deadline has passed.
 *
 * When the front end has died, nobody answers, and NATS says so at once. Tokens that are held are bounded: a call beyond that is made
 * without one, and ends as one whose front end has died.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { callerSubject, type CommandEnvelope } from '@callboard/envelope';
import { NoRespondersError, RequestError, type NatsConnection, type Subscription } from '@nats-io/transport-node';

/** The command as far as its caller's token is concerned. */
export type CallersCommand = Pick<CommandEnvelope, 'tenant_id' | 'correlation_id'>;

const MOST_HELD = 10_000;
const ANSWER_MS = 2_000;
/** A front end that has just lost its connection to NATS may be back at once. */
const ASKS = 3;
const PAUSE_MS = 250;
const CIPHER = 'aes-256-gcm';
/** Of X25519, as SPKI has it. */
const PUBLIC_KEY_BYTES = 44;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** The longest that `setTimeout` takes. */
const LONGEST_TIMER_MS = 2_147_483_647;

interface Held {
  token: string;
  /** Calls that wait for the command. */
  holders: number;
  subscription: Subscription;
  timer: NodeJS.Timeout;
}

/** The front end's side. */
export class CallerTokens {
  readonly #held = new Map<string, Held>();

  constructor(private readonly nc: NatsConnection) {}

  get size(): number {
    return this.#held.size;
  }

  /**
   * Lends the token to whoever runs the command, from now until `until` (milliseconds since 1970), or until what this returns was called.
   * @returns undefined when no more tokens are held
   */
  hold(command: CallersCommand, token: string, until: number): (() => void) | undefined {
    const subject = callerSubject(command.tenant_id, command.correlation_id);
    const held = this.#held.get(subject);
    if (held) {
      held.token = token;
      held.holders += 1;
    } else if (this.#held.size >= MOST_HELD) {
      return undefined;
    } else {
      this.#held.set(subject, {
        token,
        holders: 1,
        subscription: this.nc.subscribe(subject, {
          callback: (_, message) => {
            const lent = this.#held.get(subject);
            if (lent) message.respond(seal(message.data, lent.token));
          },
        }),
        timer: setTimeout(() => this.#forget(subject), Math.min(until - Date.now(), LONGEST_TIMER_MS)).unref(),
      });
    }
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const lent = this.#held.get(subject);
      if (lent && --lent.holders === 0) this.#forget(subject);
    };
  }

  close(): void {
    for (const subject of [...this.#held.keys()]) this.#forget(subject);
  }

  #forget(subject: string): void {
    const held = this.#held.get(subject);
    if (!held) return;
    clearTimeout(held.timer);
    if (!this.nc.isClosed()) held.subscription.unsubscribe();
    this.#held.delete(subject);
  }
}

/**
 * The runner's side: the token of the caller of a command.
 * @returns undefined when nobody has it
 * @throws Error when that cannot be said now
 */
export async function askForToken(
  nc: NatsConnection,
  command: CallersCommand,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const question = publicBytes(publicKey);
  const subject = callerSubject(command.tenant_id, command.correlation_id);
  for (let ask = 1; ; ask++) {
    signal.throwIfAborted();
    try {
      const answer = await nc.request(subject, question, { timeout: ANSWER_MS });
      return unseal(answer.data, privateKey);
    } catch (error) {
      if (!saysNobody(error)) throw error;
      if (ask === ASKS) return undefined;
      await delay(PAUSE_MS, undefined, { signal });
    }
  }
}

function saysNobody(error: unknown): boolean {
  return error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders());
}

/** For whoever has the private key of the question: our public key, nonce, tag, what is sealed. */
function seal(question: Uint8Array, token: string): Uint8Array {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyOf(privateKey, question), nonce);
  const sealed = Buffer.concat([cipher.update(token, 'utf8'), cipher.final()]);
  return Buffer.concat([publicBytes(publicKey), nonce, cipher.getAuthTag(), sealed]);
}

function unseal(answer: Uint8Array, privateKey: KeyObject): string {
  const nonceAt = PUBLIC_KEY_BYTES;
  const tagAt = nonceAt + NONCE_BYTES;
  const sealedAt = tagAt + TAG_BYTES;
  const key = keyOf(privateKey, answer.subarray(0, nonceAt));
  const decipher = createDecipheriv(CIPHER, key, answer.subarray(nonceAt, tagAt));
  decipher.setAuthTag(answer.subarray(tagAt, sealedAt));
  return Buffer.concat([decipher.update(answer.subarray(sealedAt)), decipher.final()]).toString();
}

function publicBytes(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

function keyOf(privateKey: KeyObject, theirs: Uint8Array): Buffer {
  const publicKey = createPublicKey({ key: Buffer.from(theirs), type: 'spki', format: 'der' });
  const shared = diffieHellman({ privateKey, publicKey });
  return Buffer.from(hkdfSync('sha256', shared, '', 'callboard caller token', 32));
}
