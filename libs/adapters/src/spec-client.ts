/** For specs: an MCP client of a running stack, and the command line beside it. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, StreamableHTTPClientTransport, type CallToolResult } from '@modelcontextprotocol/client';
import type { ReadyFile } from '@callboard/testing';

export interface SpecClient {
  client: Client;
  /** Progress of all calls, as it came. */
  heard: { progress: number; total?: number; message?: string }[];
  call(name: string, args: object, meta?: Record<string, unknown>): Promise<CallToolResult>;
  close(): Promise<void>;
}

/** `answer` is what the human at the client says when asked. */
export async function connectClient(
  { mcp_url: url, token }: ReadyFile,
  answer?: () => { action: 'accept' | 'decline'; content?: Record<string, boolean> },
): Promise<SpecClient> {
  const client = new Client(
    { name: 'spec', version: '1' },
    { versionNegotiation: { mode: 'auto' }, ...(answer && { capabilities: { elicitation: { form: {} } } }) },
  );
  if (answer) client.setRequestHandler('elicitation/create', async () => answer());
  const headers = { Authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  const heard: SpecClient['heard'] = [];
  return {
    client,
    heard,
    call: (name, args, meta: Record<string, unknown> = {}) =>
      client.callTool(
        { name, arguments: args as Record<string, unknown>, _meta: meta },
        { onprogress: (fact) => heard.push(fact), timeout: 120_000 },
      ),
    close: () => client.close(),
  };
}

const CLI = fileURLToPath(new URL('../../../apps/cli/dist/main.js', import.meta.url));

/** What `callboard …` prints. Rejects when its exit code is not 0. */
export async function callboard(args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, ...args], { env: { ...process.env, ...env } });
  return stdout;
}
