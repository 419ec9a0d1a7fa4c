/** What specs of the command line share: running it, and calling the stack as an AI client does. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const CLI = fileURLToPath(new URL('./main.js', import.meta.url));

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the command line to its end. */
export function callboard(...args: string[]): Promise<Ran> {
  return callboardWith({}, ...args);
}

/** The same, with more in its environment. */
export function callboardWith(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], { env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

export async function connect(url: string, token?: string): Promise<Client> {
  const client = new Client({ name: 'spec', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return client;
}

/** Calls demo.echo as a client would, and returns the result's text and correlation id. */
export async function echo(url: string, token?: string): Promise<{ text: unknown; correlationId: string }> {
  const client = await connect(url, token);
  try {
    const result = await client.callTool({ name: 'demo.echo', arguments: { text: 'hello' } });
    return { text: result.content, correlationId: String(result._meta?.['io.callboard/correlation_id']) };
  } finally {
    await client.close();
  }
}
