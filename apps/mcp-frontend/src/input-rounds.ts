/**
 * What travels between two rounds of a call that needs input of its caller.
 *
 * An action's state leaves the house with the question and comes back with the answer, through a client that is not trusted. It is
 * sealed (AES-256-GCM): a client can neither read nor change it, nor bring it to another server, method, action or principal, nor
 * bring it after `STATE_TTL_MS`. It can bring it twice: what must happen once needs an idempotency key.
 *
 * A question goes out only when the client declared that it can answer that kind.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { Identity } from '@callboard/access';
import type { InputKind } from '@callboard/actions';
import { LIMITS, type JsonObject } from '@callboard/envelope';
import {
  MissingRequiredClientCapabilityError,
  ProtocolError,
  type ClientCapabilities,
} from '@modelcontextprotocol/server';
import { RPC } from './protocol-errors.js';

const VERSION = 'v2.';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const EXPIRY_BYTES = 6;
/** A command that asks may wait for the answer until its deadline. */
const STATE_TTL_MS = LIMITS.maxDeadlineMs;

/** What a state belongs to. */
export interface RoundBinding {
  method: string;
  actionId: string;
  principal: Identity;
}

export class StateSeal {
  readonly #key: Buffer;

  /**
   * @param secret at least 32 bytes, the same on every replica
   * @param server the name of the MCP server whose states these are: no other opens them
   */
  constructor(secret: Uint8Array, server = '') {
    this.#key = Buffer.from(hkdfSync('sha256', secret, server, 'callboard request state', 32));
  }

  seal(state: string, binding: RoundBinding): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(boundTo(binding));
    const expiry = Buffer.alloc(EXPIRY_BYTES);
    expiry.writeUIntBE(Date.now() + STATE_TTL_MS, 0, EXPIRY_BYTES);
    const sealed = [nonce, cipher.update(expiry), cipher.update(state, 'utf8'), cipher.final(), cipher.getAuthTag()];
    return VERSION + Buffer.concat(sealed).toString('base64url');
  }

  /** @throws ProtocolError that says nothing of why */
  open(sealed: unknown, binding: RoundBinding): string {
    const state =
      typeof sealed === 'string' && sealed.startsWith(VERSION) ? this.#decipher(sealed, binding) : undefined;
    if (state !== undefined && state.readUIntBE(0, EXPIRY_BYTES) >= Date.now()) {
      return state.toString('utf8', EXPIRY_BYTES);
    }
    throw new ProtocolError(RPC.invalidParams, 'Invalid or expired requestState', { reason: 'invalid_request_state' });
  }

  #decipher(sealed: string, binding: RoundBinding): Buffer | undefined {
    const bytes = Buffer.from(sealed.slice(VERSION.length), 'base64url');
    // Decoding is lenient: without this, trailing rubbish would be a second spelling of one state.
    if (bytes.toString('base64url') !== sealed.slice(VERSION.length)) return undefined;
    if (bytes.length < NONCE_BYTES + EXPIRY_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, NONCE_BYTES));
    decipher.setAAD(boundTo(binding));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch {
      return undefined;
    }
  }
}

function boundTo({ method, actionId, principal }: RoundBinding): Buffer {
  return Buffer.from(JSON.stringify([method, actionId, principal.tenantId, principal.userId]));
}

const KINDS: readonly InputKind[] = ['elicitation', 'sampling', 'roots'];
const NOTHING: readonly InputKind[] = [];

/** The kinds of input that a client declared it can give. */
export function inputKinds(declared: ClientCapabilities | undefined): readonly InputKind[] {
  if (!declared) return NOTHING;
  const kinds = KINDS.filter((kind) => declared[kind] !== undefined);
  return kinds.length === 0 ? NOTHING : kinds;
}

/** Before acceptance: does the client declare what the action cannot do without? */
export function missingKinds(
  required: readonly InputKind[] | undefined,
  declared: ClientCapabilities | undefined,
): ClientCapabilities | undefined {
  const missing = required?.filter((kind) => declared?.[kind] === undefined) ?? [];
  return missing.length > 0 ? Object.fromEntries(missing.map((kind) => [kind, {}])) : undefined;
}

/**
 * Checks a question before it goes out on the 2026 revision, as the SDK's server does for the methods that it serves.
 * @throws MissingRequiredClientCapabilityError when the client did not declare what it would take to answer
 * @throws ProtocolError when the action asked for something that the revision does not know
 */
export function checkQuestion(result: JsonObject, declared: ClientCapabilities | undefined): void {
  const requests = Object.values(
    (result.inputRequests ?? {}) as Record<string, { method?: string; params?: JsonObject }>,
  );
  if (requests.length === 0 && typeof result.requestState !== 'string') {
    throw new ProtocolError(RPC.internal, 'The action asked for input without saying which');
  }
  for (const { method, params } of requests) {
    const missing = missingFor(method, params, declared);
    if (missing) throw new MissingRequiredClientCapabilityError({ requiredCapabilities: missing });
  }
}

function missingFor(
  method: string | undefined,
  params: JsonObject | undefined,
  declared: ClientCapabilities | undefined,
): ClientCapabilities | undefined {
  switch (method) {
    case 'elicitation/create': {
      const { elicitation } = declared ?? {};
      if (params?.mode === 'url') return elicitation?.url ? undefined : { elicitation: { url: {} } };
      // Declared without a mode means forms: that is what it meant before there were modes.
      return elicitation && (elicitation.form || !elicitation.url) ? undefined : { elicitation: { form: {} } };
    }
    case 'sampling/createMessage': {
      const { sampling } = declared ?? {};
      if (!sampling) return { sampling: {} };
      const withTools = params?.tools !== undefined || params?.toolChoice !== undefined;
      return withTools && !sampling.tools ? { sampling: { tools: {} } } : undefined;
    }
    case 'roots/list':
      return declared?.roots ? undefined : { roots: {} };
    default:
      throw new ProtocolError(RPC.internal, 'The action asked for an unknown kind of input');
  }
}
