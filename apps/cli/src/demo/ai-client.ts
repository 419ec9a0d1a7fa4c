/** The AI client of the demo: the MCP SDK's own, with nothing but the address and the token that `ready.json` has. */
import { Client, StreamableHTTPClientTransport, type CallToolResult } from '@modelcontextprotocol/client';
import { Failure } from '../failure.js';
import type { ReadyFile } from '../ready-file.js';

export async function connect(ready: ReadyFile): Promise<Client> {
  const client = new Client({ name: 'callboard-demo', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  const headers = { authorization: `Bearer ${ready.token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(ready.mcp_url), { requestInit: { headers } }));
  return client;
}

/** @throws Failure when the tool answers with an error */
export async function call(
  client: Client,
  request: Parameters<Client['callTool']>[0],
  options?: Parameters<Client['callTool']>[1],
): Promise<CallToolResult> {
  const result = (await client.callTool(request, options)) as CallToolResult;
  if (result.isError) throw new Failure(`the demo failed: ${request.name} answered ${textOf(result)}`);
  return result;
}

export function textOf(result: CallToolResult): string {
  const [first] = result.content;
  return first?.type === 'text' ? first.text : '';
}

export function correlationIdOf(result: CallToolResult): string {
  return String(result._meta?.['io.callboard/correlation_id']);
}

export interface PolledEvent {
  source: string;
  topic: string;
  event: { id: string; data: Record<string, unknown> };
}

/** What `events.poll` gives of a subscription: it waits until there is something, or until the time is over. */
export async function poll(client: Client, name: string, waitMs: number) {
  const polled = await call(client, { name: 'events.poll', arguments: { name, wait_ms: waitMs } });
  return { polled, ...(polled.structuredContent as { events: PolledEvent[] }) };
}
