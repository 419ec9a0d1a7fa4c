/**
 * The Backstage that `--backstage` puts beside the stack: a real one, with Callboard's plug-in installed, its events bus as a source of the
 * ingestors, its actions as ours, and its users as recipients of the notifiers. For trying things and for tests; it keeps everything in
 * memory.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
  BackstageUsers,
  installBackstage,
  startBackstageServer,
  type BackstageTokens,
  type RunningBackstage,
} from '@callboard/backstage-server';
import { packPlugin } from '@callboard/backstage-plugin-events-backend-module-callboard/pack';
import { freePort, writeSecret, type RunningNatsServer } from '@callboard/nats-server';
import type { Launch } from './member.js';

/** What the plug-in does not take: see the fixture's `app-config.callboard.yaml`. */
const BUS_TOPICS = ['scenery'];
const TOKEN_FILE = 'events-token';
const NOTIFICATIONS_TOKEN_FILE = 'notifications-token';
const CATALOG_TOKEN = 'BACKSTAGE_CATALOG_TOKEN';
/** Those of the fixture's catalog. */
const USERS = ['user:default/ada', 'user:default/ben'];
const USER_TOKEN_S = 24 * 3_600;

interface Files {
  plugin: string;
  sources: string;
  adapters: string;
  notificationsToken: string;
}

export class BackstageMember {
  private constructor(
    private readonly tokens: BackstageTokens,
    private readonly users: BackstageUsers,
    private readonly modules: string,
    private readonly port: number,
    private readonly files: Files,
  ) {}

  /** Installs what is needed. The first time takes a minute or two. */
  static async prepare(folder: string, say: (line: string) => void): Promise<BackstageMember> {
    const modules = await installBackstage(say);
    const port = await freePort();
    const tokens = { events: newToken(), notifications: newToken(), catalog: newToken() };
    const files: Files = {
      plugin: await packPlugin(join(folder, 'plugin')),
      sources: join(folder, 'sources.yaml'),
      adapters: join(folder, 'adapters.yaml'),
      notificationsToken: join(folder, NOTIFICATIONS_TOKEN_FILE),
    };
    await writeSecret(join(folder, TOKEN_FILE), tokens.events);
    await writeSecret(files.notificationsToken, tokens.notifications);
    const bus = {
      name: 'backstage-bus',
      type: 'backstage_bus',
      base_url: `${urlOf(port)}/api/events`,
      token: { file: TOKEN_FILE },
      topics: BUS_TOPICS,
    };
    await writeSecret(files.sources, JSON.stringify({ sources: [bus] }));
    const site = {
      name: 'backstage',
      url: urlOf(port),
      token: `\${${CATALOG_TOKEN}}`,
      plugins: ['catalog'],
      entities: 'catalog',
    };
    await writeSecret(files.adapters, JSON.stringify({ backstages: [site] }));
    const users = await BackstageUsers.create(join(folder, 'users'));
    return new BackstageMember(tokens, users, modules, port, files);
  }

  start(
    nats: Pick<RunningNatsServer, 'url' | 'credsFile' | 'tlsFiles'>,
    { onLine, onSpawn, signal }: Launch,
  ): Promise<RunningBackstage> {
    const tls = nats.tlsFiles('backstage');
    return startBackstageServer({
      modules: this.modules,
      tokens: this.tokens,
      port: this.port,
      configFiles: [this.users.configFile],
      callboard: {
        folder: this.files.plugin,
        natsUrl: nats.url,
        credsFile: nats.credsFile('backstage'),
        ...(tls && { tls }),
      },
      onLine,
      onSpawn,
      signal,
    });
  }

  notifierEnv(): NodeJS.ProcessEnv {
    return {
      CALLBOARD_BACKSTAGE_URL: urlOf(this.port),
      CALLBOARD_BACKSTAGE_NOTIFICATIONS_TOKEN_FILE: this.files.notificationsToken,
    };
  }

  /** For the ingestors, beside the sources file that they have. */
  ingestorEnv(sources: string | undefined): NodeJS.ProcessEnv {
    return { CALLBOARD_SOURCES: both(sources, this.files.sources) };
  }

  /** For the runners, beside the adapter file that they have. */
  runnerEnv(adapters: string | undefined): NodeJS.ProcessEnv {
    return { CALLBOARD_ADAPTERS: both(adapters, this.files.adapters), [CATALOG_TOKEN]: this.tokens.catalog };
  }

  /** With which its users are signed in for a day, so that somebody can look at it as they do. */
  userTokens(): Record<string, string> {
    return Object.fromEntries(USERS.map((user) => [user, this.users.token(urlOf(this.port), user, [], USER_TOKEN_S)]));
  }
}

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function both(theirs: string | undefined, ours: string): string {
  return [theirs, ours].filter((path) => path !== undefined).join();
}

function newToken(): string {
  return randomBytes(24).toString('base64url');
}
