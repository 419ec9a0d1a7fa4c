/**
 * Everybody who may call, from the files that say so: the access file and the tokens file. Each is read again whenever it changes, and at SIGHUP.
 *
 * What is in force changes at once: a token of an issuer that is gone, or that is now configured otherwise, is not believed because it was found
 * good before. One that cannot be used changes nothing, and is told; what it said before stays in force until it is mended.
 */
import { ConfigError, FollowedFile } from '@callboard/config';
import { isLoopback, readAccess, type AccessSettings } from './access-file.js';
import { Authenticator } from './authenticator.js';
import { BackstageIssuer } from './jwt/backstage-issuer.js';
import type { JwtIssuer } from './jwt/jwt-issuer.js';
import { OAuthIssuer } from './jwt/oauth-issuer.js';
import { SignedTokens } from './jwt/signed-tokens.js';
import { StaticTokens, readStaticTokens, type StaticToken } from './static-tokens.js';

export interface AccessConfig {
  /** Where requests come in; absent where none may come without credentials. */
  httpHost?: string;
  /** Path of the tokens file, empty without one; absent where static tokens are good for nothing. */
  tokensFile?: string;
  /** Path; empty without one. */
  access: string;
}

export type AccessFileName = 'access' | 'tokens';

/** What becomes of the files while we run. */
export interface AccessEvents {
  /** Something else is in force now. */
  changed(file: AccessFileName): void;
  /** What is there now cannot be used. */
  broken(file: AccessFileName, problem: string): void;
}

const UNHEARD: AccessEvents = { changed: () => undefined, broken: () => undefined };

export class Access {
  readonly authenticator: Authenticator;
  readonly #tokens = new StaticTokens([]);
  readonly #signed = new SignedTokens([], { rememberMs: 0 });
  readonly #listeners = new Set<() => void>();
  #issuers = new Map<string, JwtIssuer>();
  #files!: { access: FollowedFile<AccessSettings>; tokens: FollowedFile<StaticToken[]> };

  private constructor(
    private readonly config: AccessConfig,
    private readonly events: AccessEvents,
  ) {
    const { httpHost = '' } = config;
    const mayBeAnonymous = () => this.settings.anonymous && isLoopback(httpHost);
    const options = {
      get anonymous() {
        return mayBeAnonymous();
      },
    };
    this.authenticator = new Authenticator([this.#tokens, this.#signed], options);
  }

  /** @throws ConfigError, AccessError when nobody could ever call, or a file is not what it must be */
  static async open(config: AccessConfig, events: AccessEvents = UNHEARD): Promise<Access> {
    const access = new Access(config, events);
    const settings = await access.#follow('access', config.access, () => access.#readSettings());
    const { tokensFile = '' } = config;
    const tokens = await access
      .#follow('tokens', tokensFile, () => readTokens(tokensFile))
      .catch((error: unknown) => {
        settings.close();
        throw error;
      });
    access.#files = { access: settings, tokens };
    access.#apply();
    return access;
  }

  /** Those in force. */
  get settings(): AccessSettings {
    return this.#files.access.current;
  }

  /** Is what is in the file now not in force? */
  isBroken(file: AccessFileName): boolean {
    return this.#files[file].broken;
  }

  /**
   * Hears whenever something else is in force.
   * @returns what ends it
   */
  onChange(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Looks at files no more. */
  close(): void {
    this.#files.access.close();
    this.#files.tokens.close();
    this.#listeners.clear();
  }

  #follow<T>(
    name: AccessFileName,
    path: string,
    read: () => Promise<{ text: string; says: T }>,
  ): Promise<FollowedFile<T>> {
    return FollowedFile.open(path, read, {
      changed: () => {
        this.#apply();
        this.events.changed(name);
        for (const listener of this.#listeners) listener();
      },
      broken: ({ message }) => this.events.broken(name, message),
    });
  }

  async #readSettings(): Promise<{ text: string; says: AccessSettings }> {
    const { httpHost = '', tokensFile, access } = this.config;
    const says = await readAccess(access);
    const { anonymous, issuers, backstages } = says;
    if (issuers.length + backstages.length > 0) return { text: JSON.stringify(says), says };
    if (tokensFile === undefined) {
      throw new ConfigError([
        'CALLBOARD_ACCESS must name a file with issuers or backstages, whose tokens are good here: there are none in it',
      ]);
    }
    if (tokensFile === '' && !(anonymous && isLoopback(httpHost))) {
      throw new ConfigError([
        'CALLBOARD_TOKENS_FILE is not set: it must name a file of tokens, or CALLBOARD_ACCESS a file with issuers, because nobody may call without a token here',
      ]);
    }
    // With the secrets that it refers to: another of those is a change too.
    return { text: JSON.stringify(says), says };
  }

  #apply(): void {
    const { issuers, backstages, rememberMs } = this.settings;
    const before = this.#issuers;
    const made = new Map<string, JwtIssuer>();
    // One that is configured as before stays the same, with its keys.
    const add = (settings: object, make: () => JwtIssuer) => {
      const key = JSON.stringify(settings);
      made.set(key, before.get(key) ?? make());
    };
    for (const issuer of issuers) add(issuer, () => new OAuthIssuer(issuer));
    for (const backstage of backstages) add(backstage, () => new BackstageIssuer(backstage));
    this.#issuers = made;
    this.#signed.replace([...made.values()], { rememberMs });
    this.#tokens.replace(this.#files.tokens.current);
  }
}

async function readTokens(path: string): Promise<{ text: string; says: StaticToken[] }> {
  return path === '' ? { text: '', says: [] } : readStaticTokens(path);
}
