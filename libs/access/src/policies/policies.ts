/**
 * The policies in force, and their answers. Deny by default: what no policy permits, or one forbids, is denied.
 *
 * They are read again when their files change, and at SIGHUP. What is not valid changes nothing: the set before stays in force, and `broken`
 * says so until it is mended (A1). Answers are remembered, because one costs some hundred microseconds and depends on nothing but what it is
 * remembered under; with a new set all are forgotten (A2). There are at most `MOST_ANSWERS`, of which those go that were used longest ago (A3).
 */
import { forgetFile, tellFileReading } from '@callboard/config';
import { readPolicyTexts, signatureOf } from './policy-files.js';
import { PoliciesError } from './policies-error.js';
import { PolicySet } from './policy-set.js';
import type { AccessResource, Caller, Decision, Question } from './vocabulary.js';

export interface PoliciesEvents {
  /** Other policies are in force. */
  changed?(digest: string, ids: readonly string[]): void;
  /** What is there now cannot be used. */
  broken?(problems: readonly string[]): void;
}

const LOOK_EVERY_MS = 1_000;
const MOST_ANSWERS = 20_000;

let sets = 0;

export class Policies {
  readonly #again = () => void this.#look();
  readonly #name = `policies-${++sets}`;
  readonly #answers = new Recent<Decision>(MOST_ANSWERS);
  /** Of principals that come again as the same object, as those of static tokens do. */
  readonly #shapes = new WeakMap<object, { shared: string; own: string }>();
  readonly #resources = new WeakMap<AccessResource, string>();
  readonly #listeners = new Set<() => void>();
  #current!: PolicySet;
  #signature = '';
  #broken = false;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly path: string,
    private readonly events: PoliciesEvents,
  ) {}

  /**
   * @param path of a `*.cedar` file or of a folder of them; empty for the policies that are there without one
   * @throws PoliciesError when they cannot be used as they are now
   */
  static async open(path: string, events: PoliciesEvents = {}): Promise<Policies> {
    const policies = new Policies(path, events);
    if (path !== '') policies.#signature = await signatureOf(path);
    policies.#current = PolicySet.compile(await readPolicyTexts(path), policies.#name);
    if (path !== '') {
      tellFileReading(policies, { file: path, what: 'read', digest: policies.digest });
      policies.#timer = setInterval(policies.#again, LOOK_EVERY_MS).unref();
      process.on('SIGHUP', policies.#again);
    }
    return policies;
  }

  /** SHA-256 of the policies in force. */
  get digest(): string {
    return this.#current.digest;
  }

  get ids(): readonly string[] {
    return this.#current.ids;
  }

  /** Is what is in the files now not in force? */
  get broken(): boolean {
    return this.#broken;
  }

  decide(question: Question, at = new Date()): Decision {
    const key = this.#keyOf(question, at);
    let decision = this.#answers.get(key);
    if (!decision) {
      decision = this.#current.decide(question, at);
      this.#answers.set(key, decision);
    }
    return decision;
  }

  /** What a list for this principal may be remembered under: equal for all for whom it is the same, for as long as it is. */
  shapeOf(principal: Caller, actions: readonly Question['action'][], at = new Date()): string {
    const dependsOn = actions.map((action) => this.#current.dependencies.on(action));
    const { shared, own } = this.#shapesOf(principal);
    const user = dependsOn.some(({ user }) => user);
    const time = dependsOn.some(({ time }) => time);
    return `${this.digest} ${user ? own : shared} ${time ? minuteOf(at) : ''}`;
  }

  /** @returns what ends it */
  onChange(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    forgetFile(this);
    clearInterval(this.#timer);
    process.off('SIGHUP', this.#again);
  }

  #keyOf({ principal, action, resource, circumstances }: Question, at: Date): string {
    const { user, time } = this.#current.dependencies.on(action);
    const { shared, own } = this.#shapesOf(principal);
    const { server, priority = '', severity = '' } = circumstances;
    // Both are JSON, and end where they end; the rest is no text of a caller's, but for the server's path.
    return `${action} ${priority} ${severity} ${time ? minuteOf(at) : ''}${user ? own : shared}${this.#keyOfResource(resource)}${server}`;
  }

  #shapesOf(caller: Caller): { shared: string; own: string } {
    let shapes = this.#shapes.get(caller);
    if (!shapes) {
      const { tenantId, userId, groups, via, clientId = null, scopes = null } = caller;
      const shared = [tenantId, [...groups].sort(), via, clientId, scopes && [...scopes].sort()];
      shapes = { shared: JSON.stringify(shared), own: JSON.stringify([...shared, userId]) };
      this.#shapes.set(caller, shapes);
    }
    return shapes;
  }

  #keyOfResource(resource: AccessResource): string {
    let key = this.#resources.get(resource);
    if (key === undefined) this.#resources.set(resource, (key = JSON.stringify(resource)));
    return key;
  }

  #look(): Promise<void> {
    return (this.#looking ??= this.#lookNow().finally(() => (this.#looking = undefined)));
  }

  async #lookNow(): Promise<void> {
    let signature = 'not there';
    let digest: string | undefined;
    try {
      signature = await signatureOf(this.path);
      if (signature === this.#signature) return;
      const texts = await readPolicyTexts(this.path);
      digest = texts.digest;
      const isNews = digest !== this.#current.digest;
      const current = isNews ? PolicySet.compile(texts, this.#name) : this.#current;
      if (isNews || this.#broken) tellFileReading(this, { file: this.path, what: 'reloaded', digest });
      this.#broken = false;
      if (isNews) {
        this.#current = current;
        this.#answers.clear();
        this.events.changed?.(this.digest, this.ids);
        for (const listener of this.#listeners) listener();
      }
    } catch (error) {
      const isNews = !this.#broken || signature !== this.#signature;
      this.#broken = true;
      if (isNews) tellFileReading(this, { file: this.path, what: 'refused', ...(digest !== undefined && { digest }) });
      if (isNews) this.events.broken?.(error instanceof PoliciesError ? error.problems : [(error as Error).message]);
    } finally {
      this.#signature = signature;
    }
  }
}

function minuteOf(at: Date): string {
  return `${at.getUTCDay()}:${at.getUTCHours()}:${at.getUTCMinutes()}`;
}

/** In the order of use: what comes first was used longest ago. */
class Recent<Value> {
  readonly #values = new Map<string, Value>();

  constructor(private readonly most: number) {}

  get(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.#values.set(key, value);
    if (this.#values.size > this.most) this.#values.delete(this.#values.keys().next().value!);
  }

  clear(): void {
    this.#values.clear();
  }
}
