/** What one MCP server shows of all the actions that there are. */
import { ActionRule, type Action, type WrittenRule } from './action-rules.js';

export interface WrittenServer {
  title?: string;
  description?: string;
  instructions?: string;
  include?: WrittenRule[];
  exclude: WrittenRule[];
  events: boolean;
  results: boolean;
  scopes: string[];
  action_scopes: (WrittenRule & { scopes: string[] })[];
}

export class ServerSpec {
  /** The name of the server at `/mcp`. */
  static readonly DEFAULT_NAME = '';

  readonly title: string | undefined;
  readonly description: string | undefined;
  /** What a client's model is told of the server. */
  readonly instructions: string | undefined;
  /** Are events shown, as tools and as resources? */
  readonly events: boolean;
  /** Is the tool shown that fetches the results of accepted calls? */
  readonly results: boolean;
  /** Scopes that every request needs. */
  readonly scopes: readonly string[];
  /** Rules over actions, with the scopes that the use of those that they fit needs beside. */
  readonly #actionScopes: readonly { rule: ActionRule; scopes: readonly string[] }[];
  /** All that was written of it. */
  readonly #text: string;
  readonly #include: readonly ActionRule[] | undefined;
  readonly #exclude: readonly ActionRule[];

  constructor(
    /** Empty for the one at `/mcp`. */
    readonly name: string,
    written: WrittenServer = { exclude: [], events: true, results: true, scopes: [], action_scopes: [] },
  ) {
    ({
      title: this.title,
      description: this.description,
      instructions: this.instructions,
      events: this.events,
      results: this.results,
      scopes: this.scopes,
    } = written);
    this.#text = JSON.stringify(written);
    this.#actionScopes = written.action_scopes.map(({ scopes, ...rule }) => ({ rule: new ActionRule(rule), scopes }));
    this.#include = written.include?.map((rule) => new ActionRule(rule));
    this.#exclude = written.exclude.map((rule) => new ActionRule(rule));
  }

  /** Does another say the same of the same server? */
  isSame(other: ServerSpec): boolean {
    return this.name === other.name && this.#text === other.#text;
  }

  get path(): string {
    return this.name === ServerSpec.DEFAULT_NAME ? '/mcp' : `/mcp/${this.name}`;
  }

  /** Every scope that something here needs. */
  get allScopes(): string[] {
    return [...new Set([...this.scopes, ...this.#actionScopes.flatMap(({ scopes }) => scopes)])];
  }

  /** The scopes that the use of an action needs, those of the server included. */
  scopesFor(action: Action): readonly string[] {
    const more = this.#actionScopes.filter(({ rule }) => rule.fits(action)).flatMap(({ scopes }) => scopes);
    return more.length === 0 ? this.scopes : [...new Set([...this.scopes, ...more])];
  }

  /** Does it show every action that there is? */
  get showsAll(): boolean {
    return this.#include === undefined && this.#exclude.length === 0;
  }

  shows(action: Action): boolean {
    return (
      (this.#include?.some((rule) => rule.fits(action)) ?? true) && !this.#exclude.some((rule) => rule.fits(action))
    );
  }

  /** Of an action that nobody serves now: shown only where its name alone settles that. */
  surelyShows(id: string): boolean {
    return (
      (this.#include?.some((rule) => rule.namesOnly && rule.mayFit(id)) ?? true) &&
      !this.#exclude.some((rule) => rule.mayFit(id))
    );
  }
}
