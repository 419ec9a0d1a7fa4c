/**
 * The actions of one Backstage as ours, for as long as this runner lives: what the actions registries of its plug-ins list, looked at
 * again and again.
 *
 * A plug-in that cannot be asked keeps the actions that it had, and what was seen last is kept in the bucket ACTIONS: a Backstage
 * that is down, even when runners start, takes no tool away from anybody, and commands wait for it until their deadline. An action goes when its
 * plug-in lists it no more; all of a plug-in, when that has said for a whole interval that it has no registry: a Backstage that starts
 * says so too.
 *
 * One action that cannot be ours is left out, with a line of log, and takes no other with it. What is mirrored is bounded, because
 * all actions of a runner are announced in one message.
 */
import { ActionError, ActionSet, type ActionDefinition } from '@callboard/actions';
import { withTimeout } from '@callboard/http';
import { encodeToken, fingerprint } from '@callboard/envelope';
import { metrics, type Logger } from '@callboard/telemetry';
import { Counter, Gauge } from 'prom-client';
import { pause } from '../endings.js';
import { wants } from '../name-rules.js';
import { backstageAction } from './backstage-action.js';
import type { BackstageClient } from './backstage-client.js';
import { readList, type LeftOut, type ListedAction } from './registry-list.js';
import type { BackstageSite } from './site.js';

/** Where what was seen last is kept. */
export interface LastSeen {
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array, options: { ttlMs: number }): Promise<unknown>;
}

const MAX_BYTES = 500_000;
/** How long a start may wait for the first look. */
const FIRST_LOOK_MS = 5_000;
const LIST_TIMEOUT_MS = 10_000;
const FIRST_PAUSE_MS = 500;
/** However often somebody asks for a look. */
const SHORTEST_PAUSE_MS = 2_000;
const REMEMBERED_MS = 30 * 24 * 3_600_000;
/** What is remembered is said again before it is forgotten. */
const REMIND_MS = 24 * 3_600_000;

const looks = new Counter({
  name: 'callboard_backstage_listings_total',
  help: 'Looks at the actions registries of Backstage plug-ins',
  labelNames: ['backstage', 'plugin', 'result'],
  registers: [metrics],
});
const mirrored = new Gauge({
  name: 'callboard_backstage_actions',
  help: 'Actions of Backstage that are mirrored, and that are left out',
  labelNames: ['backstage', 'state'],
  registers: [metrics],
});

interface Mirrored {
  print: string;
  action: ActionDefinition;
}

export class Mirror {
  /** Only what Backstage lists: changes when that does. */
  readonly actions = new ActionSet();
  readonly #lists = new Map<string, ListedAction[]>();
  /** Of each plug-in that has no registry: since when. */
  readonly #without = new Map<string, number>();
  /** Why a plug-in could not be asked, so that it is said once. */
  readonly #troubles = new Map<string, string>();
  readonly #unreadable = new Map<string, LeftOut[]>();
  #mirrored = new Map<string, Mirrored>();
  #leftOut = new Set<string>();
  #remembered = { print: '', at: 0 };
  #wake = new AbortController();
  readonly #stopped = new AbortController();
  #following: Promise<void> | undefined;

  constructor(
    private readonly site: BackstageSite,
    private readonly client: BackstageClient,
    private readonly log: Logger,
  ) {}

  /** Resolves when its actions are there as well as they can be known now; follows Backstage from then on. */
  async start(seen: LastSeen): Promise<void> {
    await this.#recall(seen);
    const first = this.#look(seen);
    const looked = new AbortController();
    void first.then(() => looked.abort());
    await pause(FIRST_LOOK_MS, looked.signal).catch(() => undefined);
    this.#following = this.#follow(first, seen);
  }

  async close(): Promise<void> {
    this.#stopped.abort(new Error('the runner is stopping'));
    await this.#following;
  }

  /** Something seems to have changed. */
  lookSoon(): void {
    this.#wake.abort();
  }

  async #follow(first: Promise<boolean>, seen: LastSeen): Promise<void> {
    let failures = (await first) ? 0 : 1;
    while (!this.#stopped.signal.aborted) {
      const longest = failures === 0 ? this.site.refresh_ms : FIRST_PAUSE_MS * 2 ** failures;
      await this.#pause(Math.min(this.site.refresh_ms, longest) * (0.75 + Math.random() / 4));
      if (this.#stopped.signal.aborted) return;
      failures = (await this.#look(seen)) ? 0 : failures + 1;
    }
  }

  /** Never rejects; ends early when somebody asks for a look, though not at once. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stopped;
    this.#wake = new AbortController();
    const least = Math.min(ms, SHORTEST_PAUSE_MS);
    await pause(least, signal).catch(() => undefined);
    await pause(ms - least, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined);
  }

  /** Never rejects. Returns whether every plug-in could be asked. */
  async #look(seen: LastSeen): Promise<boolean> {
    const asked = await Promise.all(this.site.plugins.map((plugin) => this.#ask(plugin)));
    if (this.#stopped.signal.aborted) return false;
    this.#apply();
    await this.#remember(seen);
    return asked.every(Boolean);
  }

  async #ask(plugin: string): Promise<boolean> {
    const { name: backstage, refresh_ms: interval } = this.site;
    try {
      const signal = withTimeout(this.#stopped.signal, LIST_TIMEOUT_MS);
      const list = readList(plugin, await this.client.list(plugin, signal));
      if (!list) throw new ActionError(`${this.client.who}: the answer of ${plugin} is no list of actions`);
      this.#lists.set(plugin, list.actions);
      this.#unreadable.set(plugin, list.leftOut);
      this.#without.delete(plugin);
      this.#troubles.delete(plugin);
      looks.inc({ backstage, plugin, result: 'made' });
      return true;
    } catch (error) {
      if (this.#stopped.signal.aborted) return false;
      looks.inc({ backstage, plugin, result: 'failed' });
      if (error instanceof ActionError && error.code === 'not_found') {
        const since = this.#without.get(plugin) ?? Date.now();
        this.#without.set(plugin, since);
        if (Date.now() - since >= interval) this.#lists.delete(plugin);
      }
      const trouble = (error as Error).message;
      if (this.#troubles.get(plugin) !== trouble) {
        this.log.warn({ backstage, plugin, err: error }, 'the actions of a Backstage cannot be listed; trying again');
      }
      this.#troubles.set(plugin, trouble);
      return false;
    }
  }

  /** Makes `actions` what is listed, and says what has changed. */
  #apply(): void {
    const leftOut = [...this.#unreadable.values()].flat();
    const now = this.#wanted(leftOut);
    const added = [...now.keys()].filter((id) => !this.#mirrored.has(id));
    const gone = [...this.#mirrored.keys()].filter((id) => !now.has(id));
    const changed = [...now].filter(([id, { print }]) => (this.#mirrored.get(id)?.print ?? print) !== print);
    for (const id of gone) this.actions.remove(id);
    for (const [id, { action, print }] of now) {
      if (this.#mirrored.get(id)?.print !== print) this.actions.put(action);
    }
    this.#mirrored = now;
    if (added.length + gone.length + changed.length > 0) {
      const what = { backstage: this.site.name, added, changed: changed.map(([id]) => id), gone };
      this.log.info(what, 'the actions of a Backstage have changed');
    }
    this.#tellLeftOut(leftOut);
  }

  /** The actions that are listed, included and usable, by our ids; the others are added to `leftOut`. */
  #wanted(leftOut: LeftOut[]): Map<string, Mirrored> {
    const wanted = new Map<string, Mirrored>();
    let bytes = 0;
    for (const listed of [...this.#lists.values()].flat()) {
      if (!wants(this.site, listed.id)) continue;
      try {
        bytes += JSON.stringify(listed).length;
        if (bytes > MAX_BYTES) throw new RangeError(`there is room for ${MAX_BYTES} bytes of descriptions`);
        const print = fingerprint(listed);
        const action = this.#known(print) ?? this.#toAction(listed);
        wanted.set(action.descriptor.id, { print, action });
      } catch (error) {
        leftOut.push({ id: listed.id, why: (error as Error).message });
      }
    }
    for (const id of Object.keys(this.site.actions)) {
      const list = this.#lists.get(id.split(':', 1)[0]!);
      if (!list || [...list, ...leftOut].some((listed) => listed.id === id)) continue;
      leftOut.push({ id, why: 'the adapter file decides about it, and Backstage has none such' });
    }
    return wanted;
  }

  #known(print: string): ActionDefinition | undefined {
    for (const known of this.#mirrored.values()) if (known.print === print) return known.action;
    return undefined;
  }

  #toAction(listed: ListedAction): ActionDefinition {
    return backstageAction(this.site, listed, { client: this.client, onMissing: () => this.lookSoon() });
  }

  #tellLeftOut(leftOut: LeftOut[]): void {
    const { name: backstage } = this.site;
    mirrored.set({ backstage, state: 'mirrored' }, this.#mirrored.size);
    mirrored.set({ backstage, state: 'left_out' }, leftOut.length);
    const before = this.#leftOut;
    this.#leftOut = new Set(leftOut.map(({ id, why }) => `${id} ${why}`));
    for (const { id, why } of leftOut) {
      if (before.has(`${id} ${why}`)) continue;
      this.log.warn({ backstage, action: id, why }, 'an action of a Backstage is left out');
    }
  }

  get #key(): string {
    return `mirrors.${encodeToken(this.site.name)}`;
  }

  async #recall(seen: LastSeen): Promise<void> {
    try {
      const bytes = await seen.get(this.#key);
      if (!bytes) return;
      const lists = JSON.parse(Buffer.from(bytes).toString()) as Record<string, ListedAction[]>;
      for (const plugin of this.site.plugins) if (Array.isArray(lists[plugin])) this.#lists.set(plugin, lists[plugin]);
      this.#apply();
    } catch (error) {
      this.log.warn(
        { backstage: this.site.name, err: error },
        'what a Backstage listed last could not be read or kept',
      );
    }
  }

  /** Only what is mirrored: that is bounded. */
  async #remember(seen: LastSeen): Promise<void> {
    try {
      const prints = new Set([...this.#mirrored.values()].map(({ print }) => print));
      const isMirrored = (listed: ListedAction) => prints.has(fingerprint(listed));
      const lists = [...this.#lists].map(([plugin, list]) => [plugin, list.filter(isMirrored)]);
      const value = Buffer.from(JSON.stringify(Object.fromEntries(lists)));
      const print = fingerprint(value.toString());
      if (print === this.#remembered.print && Date.now() - this.#remembered.at < REMIND_MS) return;
      await seen.put(this.#key, value, { ttlMs: REMEMBERED_MS });
      this.#remembered = { print, at: Date.now() };
    } catch (error) {
      this.log.warn(
        { backstage: this.site.name, err: error },
        'what a Backstage listed last could not be read or kept',
      );
    }
  }
}
