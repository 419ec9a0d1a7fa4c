/**
 * The Backstage that `--backstage` puts beside the stack: a real one, with Callboard's plug-in installed, its events bus as a source of the
 * ingestors, and its users as recipients of the notifiers. For trying things and for tests; it keeps everything in memory.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
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

export class BackstageMember {
  private constructor(
    private readonly tokens: BackstageTokens,
    private readonly modules: string,
    private readonly pluginFolder: string,
    private readonly port: number,
    private readonly sourcesFile: string,
    private readonly notificationsTokenFile: string,
  ) {}

  /** Installs what is needed. The first time takes a minute or two. */
  static async prepare(folder: string, say: (line: string) => void): Promise<BackstageMember> {
    const modules = await installBackstage(say);
    const pluginFolder = await packPlugin(join(folder, 'plugin'));
    const port = await freePort();
    const tokens = { events: newToken(), notifications: newToken(), catalog: newToken() };
    await writeSecret(join(folder, TOKEN_FILE), tokens.events);
    const sourcesFile = join(folder, 'sources.yaml');
    const bus = {
      name: 'backstage-bus',
      type: 'backstage_bus',
      base_url: `http://127.0.0.1:${port}/api/events`,
      token: { file: TOKEN_FILE },
      topics: BUS_TOPICS,
    };
    await writeSecret(sourcesFile, JSON.stringify({ sources: [bus] }));
    const notificationsTokenFile = join(folder, NOTIFICATIONS_TOKEN_FILE);
    await writeSecret(notificationsTokenFile, tokens.notifications);
    return new BackstageMember(tokens, modules, pluginFolder, port, sourcesFile, notificationsTokenFile);
  }

  start(nats: RunningNatsServer, { onLine, onSpawn, signal }: Launch): Promise<RunningBackstage> {
    return startBackstageServer({
      modules: this.modules,
      tokens: this.tokens,
      port: this.port,
      callboard: { folder: this.pluginFolder, natsUrl: nats.url, credsFile: nats.credsFile('backstage') },
      onLine,
      onSpawn,
      signal,
    });
  }

  notifierEnv(): NodeJS.ProcessEnv {
    return {
      CALLBOARD_BACKSTAGE_URL: `http://127.0.0.1:${this.port}`,
      CALLBOARD_BACKSTAGE_NOTIFICATIONS_TOKEN_FILE: this.notificationsTokenFile,
    };
  }

  /** For the ingestors, beside the sources file that they have. */
  ingestorEnv(sources: string | undefined): NodeJS.ProcessEnv {
    return {
      CALLBOARD_SOURCES: [sources, this.sourcesFile].filter((path) => path !== undefined).join(),
    };
  }
}

function newToken(): string {
  return randomBytes(24).toString('base64url');
}
