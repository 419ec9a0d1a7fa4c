/** For specs: a stack with notifiers at a real Backstage, clients that send, and users of Backstage who look. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CALLS, startStack, type TestBackstage, type TestStack } from '@callboard/testing';
import { Client, StreamableHTTPClientTransport, type CallToolResult } from '@modelcontextprotocol/client';

export const ADA = 'user:default/ada';
export const BEN = 'user:default/ben';

/** A notification as Backstage shows it to a user. */
export interface Shown {
  id: string;
  user: string | null;
  origin: string;
  created: string;
  updated?: string;
  read?: string;
  payload: {
    title: string;
    description?: string;
    link?: string;
    topic?: string;
    severity: string;
    scope?: string;
    icon?: string;
  };
}

/** All that a user is shown; the newest first. */
export async function shownTo(backstage: TestBackstage, user: string, query = ''): Promise<Shown[]> {
  const all: Shown[] = [];
  for (;;) {
    const answer = await fetch(
      `${backstage.url}/api/notifications/notifications?limit=100&offset=${all.length}${query}`,
      { headers: { authorization: `Bearer ${backstage.userToken(user)}` } },
    );
    if (!answer.ok) throw new Error(`Backstage answered ${answer.status}`);
    const { notifications, totalCount } = (await answer.json()) as { notifications: Shown[]; totalCount: number };
    all.push(...notifications);
    if (notifications.length === 0 || all.length >= totalCount) return all;
  }
}

export interface SpecSender {
  send(args: object, meta?: Record<string, unknown>): Promise<CallToolResult>;
  client: Client;
  close(): Promise<void>;
}

/** `answer` is what the human at this client says when asked. */
export async function connectSender(
  { ready }: TestStack,
  answer?: () => { action: 'accept' | 'decline'; content?: Record<string, boolean> },
): Promise<SpecSender> {
  const client = new Client(
    { name: 'spec', version: '1' },
    { versionNegotiation: { mode: 'auto' }, ...(answer && { capabilities: { elicitation: { form: {} } } }) },
  );
  if (answer) client.setRequestHandler('elicitation/create', async () => answer());
  const headers = { Authorization: `Bearer ${ready.token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(ready.mcp_url), { requestInit: { headers } }));
  return {
    client,
    send: (args, meta = {}) =>
      client.callTool(
        {
          name: 'notifications.send',
          arguments: args as Record<string, unknown>,
          _meta: { 'io.callboard/ordering_key': randomUUID(), ...meta },
        },
        { timeout: 600_000 },
      ),
    close: () => client.close(),
  };
}

export const errorOf = (result: CallToolResult) =>
  (
    result.structuredContent as {
      error: { code: string; message: string; retryable: boolean; retry_after_ms?: number };
    }
  ).error;

export const to = (...entityRef: string[]) => ({ type: 'entity', entityRef });

export interface NotifierStack {
  stack: TestStack;
  stop(): Promise<void>;
}

/** `file` is the notifications file, without its Backstage. */
export async function startNotifierStack(
  backstage: TestBackstage,
  options: { file?: object; notifiers?: number; token?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<NotifierStack> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-notifications-'));
  const path = join(folder, 'notifications.yaml');
  // JSON is YAML.
  await writeFile(path, JSON.stringify(options.file ?? {}));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, options.token ?? backstage.tokens.notifications);
  const stack = await startStack({
    apps: [...CALLS, 'notifier'],
    replicas: { notifier: options.notifiers ?? 1 },
    env: {
      CALLBOARD_NOTIFICATIONS: path,
      CALLBOARD_BACKSTAGE_URL: backstage.url,
      CALLBOARD_BACKSTAGE_NOTIFICATIONS_TOKEN_FILE: tokenFile,
      ...options.env,
    },
  });
  return {
    stack,
    stop: async () => {
      await stack.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
