/**
 * One MCP server of the front end, as its clients see it: its name, and what it shows of the catalog. What it does not show does not exist
 * there, however it is asked for.
 */
import type { Catalog, CatalogView, RegisteredAction } from '@callboard/actions';
import { ServerSpec } from '@callboard/access';
import { CallboardError } from '@callboard/envelope';
import type { Implementation } from '@modelcontextprotocol/server';
import { EVENT_TOOLS } from './events/event-tools.js';
import { isEventUri } from './events/event-uri.js';
import { Listing } from './listing.js';
import { RESULT_TOOL } from './result-tool.js';
import { SAGA_RESOURCE, SAGA_TOOLS } from './sagas/saga-tools.js';

const AGAIN_MS = 2_000;
const VERSION = '0.1.0';
const DEFAULT_INFO = { name: 'callboard', title: 'Callboard' };

type Whole = Pick<Catalog, 'view' | 'onChange' | 'mayLack'>;

export class McpServer {
  #spec: ServerSpec;
  #info!: Implementation;
  #own!: readonly RegisteredAction[];
  #shown: { whole: CatalogView; view: CatalogView; listing: Listing } | undefined;
  readonly #listeners = new Set<(view: CatalogView, before: CatalogView) => void>();

  constructor(
    spec: ServerSpec,
    private readonly whole: Whole,
  ) {
    this.#spec = spec;
    this.#describe();
  }

  /** What it shows and needs, as it is in force. */
  get spec(): ServerSpec {
    return this.#spec;
  }

  /** Its name and title, as clients are told them. */
  get info(): Implementation {
    return this.#info;
  }

  /** From now on it shows and needs what this says, which must be of the same name. Who listens is told what is shown then. */
  replace(spec: ServerSpec): void {
    if (spec.isSame(this.#spec)) return;
    const before = this.#withOwn();
    this.#spec = spec;
    this.#shown = undefined;
    this.#describe();
    const now = this.#withOwn();
    for (const listener of this.#listeners) listener(now, before);
  }

  get name(): string {
    return this.spec.name;
  }

  /** What it shows of the catalog as it is now. */
  get view(): CatalogView {
    return this.#now().view;
  }

  get listing(): Listing {
    return this.#now().listing;
  }

  /** Is an action shown here, of which a command may have been made while it was still served? */
  readonly shows = (actionId: string): boolean => {
    const action = this.whole.view.actions.get(actionId);
    return action ? this.spec.shows(action) : this.spec.surelyShows(actionId);
  };

  /** Why there is no tool, prompt or compensation of a name. */
  unknown(what: 'tool' | 'prompt' | 'compensation'): CallboardError {
    if (!this.whole.mayLack) return new CallboardError('unknown_action', `Unknown ${what}`);
    return new CallboardError('unavailable', `Which ${what}s there are is not known now`, { retryAfterMs: AGAIN_MS });
  }

  /** May a client be told that this resource has changed? */
  tells(uri: string): boolean {
    if (isEventUri(uri)) return this.spec.events;
    return this.spec.showsAll || this.listing.resource(uri) !== undefined;
  }

  onChange(listener: (view: CatalogView, before: CatalogView) => void): () => void {
    const own = (now: CatalogView, before: CatalogView) => listener(now, before);
    this.#listeners.add(own);
    const unfollow = this.whole.onChange((now, before) => listener(this.#view(now), this.#view(before)));
    return () => {
      unfollow();
      this.#listeners.delete(own);
    };
  }

  #describe(): void {
    const { name, title, description, results, events } = this.#spec;
    const named = name === ServerSpec.DEFAULT_NAME ? DEFAULT_INFO : { name };
    this.#info = { ...named, ...(title && { title }), version: VERSION, ...(description && { description }) };
    this.#own = [
      ...(results ? [RESULT_TOOL, ...Object.values(SAGA_TOOLS), SAGA_RESOURCE] : []),
      ...(events ? Object.values(EVENT_TOOLS) : []),
    ];
  }

  /** The view with what the front end serves itself, which another spec may show or not. */
  #withOwn(): CatalogView {
    const { version, actions } = this.view;
    return { version, actions: new Map([...this.#own.map((own) => [own.id, own] as const), ...actions]) };
  }

  #now(): { view: CatalogView; listing: Listing } {
    const whole = this.whole.view;
    if (this.#shown?.whole !== whole) {
      const view = this.#view(whole);
      this.#shown = { whole, view, listing: new Listing(view, this.#own) };
    }
    return this.#shown;
  }

  #view(whole: CatalogView): CatalogView {
    if (this.spec.showsAll) return whole;
    const actions = [...whole.actions].filter(([, action]) => this.spec.shows(action));
    return { version: whole.version, actions: new Map(actions) };
  }
}
