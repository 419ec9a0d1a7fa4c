/**
 * The secrets of one attempt: those that its action declares, read when its handler asks for them, kept for as long as the attempt, and cut out
 * of everything that it says from then on.
 */
import { ActionError, type ActionSecrets } from '@callboard/actions';
import { LEAST_CUT, withoutSecrets, type SecretTexts } from '@callboard/config';

export class AttemptSecrets {
  /** Made when the first is read: few actions have any. */
  #known: Set<string> | undefined;

  constructor(
    private readonly declared: ActionSecrets,
    private readonly texts: SecretTexts,
    /** Hears why one cannot be had, in words that hold nothing of it. */
    private readonly onMissing: (name: string, why: string) => void,
  ) {}

  /** @throws ActionError */
  async read(name: string): Promise<string> {
    const reference = Object.hasOwn(this.declared, name) ? this.declared[name] : undefined;
    if (reference === undefined) {
      const names = Object.keys(this.declared).join(', ') || 'none';
      throw new ActionError(`The action asks for a secret that is not in its option secrets; there are: ${names}`);
    }
    try {
      const secret = await this.texts.read(reference);
      if (secret.length < LEAST_CUT) {
        throw new Error(`it has fewer than ${LEAST_CUT} characters, and could not be cut out of what is said`);
      }
      this.#known = (this.#known ?? new Set()).add(secret);
      return secret;
    } catch (error) {
      this.onMissing(name, (error as Error).message);
      throw new ActionError(`The secret ${name} cannot be had now`, { retryable: true });
    }
  }

  /** The value as JSON has it, without what was read; undefined when JSON has none. */
  cut<T>(value: T): T | undefined {
    if (!this.#known) return value;
    // One that holds another goes first, or the rest of it would stay.
    const secrets = [...this.#known].sort((a, b) => b.length - a.length);
    try {
      return JSON.parse(JSON.stringify(value), (_, member: unknown) => withoutThem(member, secrets)) as T;
    } catch {
      return undefined;
    }
  }
}

/** Names of members, too. */
function withoutThem(member: unknown, secrets: readonly string[]): unknown {
  if (typeof member === 'string') return withoutSecrets(member, secrets);
  if (typeof member !== 'object' || member === null || Array.isArray(member)) return member;
  return Object.fromEntries(Object.entries(member).map(([name, value]) => [withoutSecrets(name, secrets), value]));
}
