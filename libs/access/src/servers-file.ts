/**
 * The servers file: which MCP servers there are beside `/mcp`, and what each of them shows. One YAML file, read again whenever it changes, and at
 * SIGHUP. What each server shows and needs is then another at once; which servers there are, and whether they show events, is that of the start.
 * A file that cannot be used changes nothing, and `broken` says so until it is mended.
 */
import { readFile } from 'node:fs/promises';
import { ConfigError, FollowedFile, YamlFile, record, shapeOf } from '@callboard/config';
import { RULE_MEMBERS, actionRule } from './action-rules.js';
import { ServerSpec, type WrittenServer } from './server-spec.js';

/** What is wrong with the servers file. */
export class ServersError extends Error {
  override readonly name = 'ServersError';
}

/** Every one has its own lists to be told of when they change. */
const MOST_SERVERS = 64;
/** Goes into a path and a subject. */
const NAME = '^[a-z0-9][a-z0-9-]{0,62}$';

interface Written {
  default: WrittenServer;
  servers: (WrittenServer & { name: string })[];
}

const text = (maxLength: number) => ({ type: 'string', minLength: 1, maxLength });
/** RFC 6749: printable ASCII but for the quotation mark and the backslash. */
const scope = { type: 'string', pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,128}$' };
const scopes = { type: 'array', items: scope, maxItems: 32 };
const rules = { type: 'array', items: actionRule, maxItems: 256 };
const server = {
  title: text(128),
  description: text(1_024),
  instructions: text(16_384),
  include: rules,
  exclude: { ...rules, default: [] },
  events: { type: 'boolean', default: true },
  results: { type: 'boolean', default: true },
  scopes: { ...scopes, default: [] },
  action_scopes: {
    type: 'array',
    maxItems: 256,
    default: [],
    items: { ...record({ ...RULE_MEMBERS, scopes }, ['scopes']), minProperties: 2 },
  },
};
const FILE = shapeOf<Written>(
  record({
    default: { ...record(server), default: {} },
    servers: {
      type: 'array',
      maxItems: MOST_SERVERS,
      default: [],
      items: record({ name: { type: 'string', pattern: NAME }, ...server }, ['name']),
    },
  }),
);

/** @throws ServersError with the place of what is wrong */
export function parseServers(text: string, path: string): ServerSpec[] {
  const yaml = YamlFile.parse(text, path, ServersError);
  const written = yaml.check(FILE);
  const names = new Set<string>();
  written.servers.forEach(({ name }, i) => {
    if (names.has(name)) throw yaml.mistake(['servers', i, 'name'], 'is the name of another server already');
    names.add(name);
  });
  return [
    new ServerSpec(ServerSpec.DEFAULT_NAME, written.default),
    ...written.servers.map(({ name, ...server }) => new ServerSpec(name, server)),
  ];
}

export interface ServersFileEvents {
  changed(): void;
  /** What is there now cannot be used. */
  broken(problem: string): void;
}

export class ServersFile {
  readonly #listeners = new Set<() => void>();
  #file!: FollowedFile<ServerSpec[]>;

  private constructor(private readonly path: string) {}

  /**
   * The servers that there are; the one at `/mcp` is always there, and without a file shows everything.
   * @param path empty without a file
   * @throws ConfigError when the file cannot be read, ServersError when it cannot be used
   */
  static async open(path: string, events: ServersFileEvents): Promise<ServersFile> {
    const file = new ServersFile(path);
    file.#file = await FollowedFile.open(path, () => file.#read(), {
      changed: () => {
        events.changed();
        for (const listener of file.#listeners) listener();
      },
      broken: ({ message }) => events.broken(message),
    });
    return file;
  }

  /** Those in force; always of the same names. */
  get specs(): readonly ServerSpec[] {
    return this.#file.current;
  }

  /** Is what is in the file now not in force? */
  get broken(): boolean {
    return this.#file.broken;
  }

  /** Hears whenever something else is in force. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    this.#file.close();
  }

  async #read(): Promise<{ text: string; says: ServerSpec[] }> {
    const { text, says } = await readFileOf(this.path);
    // Not yet there when it is opened.
    if ((this.#file as FollowedFile<ServerSpec[]> | undefined) && identitiesOf(says) !== identitiesOf(this.specs)) {
      throw new ServersError(
        `${this.path}: which servers there are, and whether they show events, changes when the front ends are restarted`,
      );
    }
    return { text, says };
  }
}

function identitiesOf(specs: readonly ServerSpec[]): string {
  return JSON.stringify(specs.map(({ name, events }) => [name, events]).sort());
}

/** @throws ConfigError, ServersError */
export async function readServers(path: string): Promise<ServerSpec[]> {
  return (await readFileOf(path)).says;
}

async function readFileOf(path: string): Promise<{ text: string; says: ServerSpec[] }> {
  if (path === '') return { text: '', says: [new ServerSpec(ServerSpec.DEFAULT_NAME)] };
  const text = await readFile(path, 'utf8').catch(() => {
    throw new ConfigError(['CALLBOARD_SERVERS names a file that cannot be read']);
  });
  return { text, says: parseServers(text, path) };
}
