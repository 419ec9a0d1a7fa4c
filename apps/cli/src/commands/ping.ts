/** `callboard ping`: a conversation with an MCP server, as a client would have it. It needs no stack. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Command, Option } from 'commander';
import { Failure, messageOf } from '../failure.js';
import { printJson } from '../print.js';
import { jsonOption } from '../running-stack.js';

interface PingOptions {
  tokenFile?: string;
  waitS: string;
  json: boolean;
}

/** Harmless, and answered by a runner: it goes through NATS and back. */
const ECHO = 'demo.echo';
const RETRY_MS = 1_000;

export function pingCommand(): Command {
  return new Command('ping')
    .description(`talk to an MCP server: list its tools, and call ${ECHO} where it is served`)
    .argument('<url>', 'the MCP server, such as http://127.0.0.1:3333/mcp')
    .option('--token-file <file>', 'file with a bearer token')
    .addOption(new Option('--wait-s <seconds>', 'how long to try').default('0'))
    .addOption(jsonOption())
    .action(ping);
}

async function ping(url: string, { tokenFile, waitS, json }: PingOptions): Promise<void> {
  const token = tokenFile && (await readFile(tokenFile, 'utf8')).trim();
  const until = Date.now() + Number(waitS) * 1_000;
  for (;;) {
    try {
      const answer = await converse(url, token);
      if (json) return printJson(answer);
      console.log(
        `${url} serves ${answer.tools} tools; ${answer.echoed ? `${ECHO} was answered` : `it has no ${ECHO}`}`,
      );
      return;
    } catch (error) {
      if (!(Date.now() < until)) throw new Failure(`${url}: ${messageOf(error)}`);
      await delay(RETRY_MS);
    }
  }
}

async function converse(url: string, token?: string): Promise<{ tools: number; echoed: boolean }> {
  const client = new Client({ name: 'callboard', version: '0.1.0' }, { versionNegotiation: { mode: 'auto' } });
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  try {
    const { tools } = await client.listTools();
    const echoed = tools.some(({ name }) => name === ECHO);
    if (echoed) {
      const { isError, content } = await client.callTool({ name: ECHO, arguments: { text: 'Places, please.' } });
      if (isError) throw new Error(`${ECHO} has failed: ${JSON.stringify(content)}`);
    }
    return { tools: tools.length, echoed };
  } finally {
    await client.close();
  }
}
