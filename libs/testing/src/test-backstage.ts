import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BackstageUsers,
  installBackstage,
  startBackstageServer,
  type BackstageServerOptions,
  type BackstageTokens,
  type RunningBackstage,
} from '@callboard/backstage-server';
import { listenToSignals, type Signals } from './backstage-signals.js';

/** A real Backstage on a port of its own; its events bus is kept in memory, as with any database but PostgreSQL. */
export interface TestBackstage {
  readonly url: string;
  readonly tokens: BackstageTokens;
  readonly pid: number;
  /** Of a signed-in user, and of whatever else is the user's. */
  userToken(userRef: string, ownership?: string[]): string;
  /** What is pushed to the browser of a user from now on. */
  signals(userRef: string, channel: string): Promise<Signals>;
  /** Everything that it has printed. */
  output(): string;
  /** What a webhook does: posts an event to the HTTP ingress, and returns the status of the answer. */
  post(topic: string, payload: unknown, headers?: Record<string, string>): Promise<number>;
  /** What a plug-in in another process does: publishes an event by the bus, and returns the status of the answer. */
  publish(topic: string, payload: unknown): Promise<number>;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
  /** Starts it again where it was, after `kill`. */
  start(): Promise<void>;
  dispose(): Promise<void>;
}

export type TestBackstageOptions = Pick<
  BackstageServerOptions,
  'callboard' | 'configFiles' | 'databaseDir' | 'env' | 'features' | 'fixture' | 'notifyTimeoutMs'
>;

export async function startBackstage(options: TestBackstageOptions = {}): Promise<TestBackstage> {
  const modules = await installBackstage((line) => process.stderr.write(`${line}\n`), options.fixture);
  const token = () => randomBytes(24).toString('base64url');
  const tokens = { events: token(), notifications: token(), catalog: token() };
  const folder = await mkdtemp(join(tmpdir(), 'callboard-users-'));
  const users = await BackstageUsers.create(folder);
  const configFiles = [users.configFile, ...(options.configFiles ?? [])];
  let output = '';
  const onLine = (line: string) => void (output += `${line}\n`);
  const launch = (port: number) => startBackstageServer({ ...options, modules, tokens, port, onLine, configFiles });
  let server: RunningBackstage = await launch(0);
  const { url, port } = server;

  const send = async (path: string, body: unknown, headers: Record<string, string>) => {
    const answer = await fetch(`${url}/api/events/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  return {
    url,
    tokens,
    get pid() {
      return server.pid;
    },
    userToken: (userRef, ownership) => users.token(url, userRef, ownership),
    signals: (userRef, channel) => listenToSignals(modules, url, users.token(url, userRef), channel),
    output: () => output,
    post: (topic, payload, headers = {}) => send(`http/${topic}`, payload, headers),
    publish: (topic, payload) =>
      send('bus/v1/events', { event: { topic, payload } }, { authorization: `Bearer ${tokens.events}` }),
    kill: async () => {
      server.kill();
      await server.exited;
    },
    start: async () => {
      server = await launch(port);
    },
    dispose: async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
