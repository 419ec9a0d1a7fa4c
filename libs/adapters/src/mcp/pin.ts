/**
 * The pin file of a downstream MCP server: its tools as an operator has seen and accepted them. Actions are announced from it, so
 * that nothing has to be running when the runner starts, and so that a server which changes its descriptions later (a model reads
 * them) changes nothing that anybody is shown.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fingerprint, type JsonObject } from '@callboard/envelope';
import type { Client, Tool } from '@modelcontextprotocol/client';
import { AdapterFileError, type McpServer } from '../adapter-file.js';
import { wants, type NameRules } from '../name-rules.js';

export interface PinnedTool {
  name: string;
  title?: string;
  description?: string;
  input_schema: JsonObject;
  output_schema?: JsonObject;
  annotations?: JsonObject;
}

export interface Pin {
  pin_version: 1;
  pinned_at: string;
  server: { name: string; version: string };
  /** The revision of MCP that the server spoke. */
  protocol_version: string;
  tools: PinnedTool[];
}

/** Tools by name that are not as pinned; `added` ones are offered to nobody until they are pinned. */
export interface Drift {
  changed: string[];
  gone: string[];
  added: string[];
}

/** @throws AdapterFileError with the way out when there is no pin file that can be used. */
export async function readPin(server: McpServer): Promise<Pin> {
  const way = 'run "callboard adapters pin" and look at what it has written';
  let pin: Pin;
  try {
    pin = JSON.parse(await readFile(server.pin, 'utf8')) as Pin;
  } catch {
    throw new AdapterFileError(`The pin file ${server.pin} of MCP server ${server.name} cannot be read: ${way}`);
  }
  if (pin?.pin_version !== 1 || !Array.isArray(pin.tools)) {
    throw new AdapterFileError(`${server.pin} is no pin file that this version can read: ${way}`);
  }
  return pin;
}

export async function writePin(server: McpServer, pin: Pin): Promise<void> {
  await writeFile(server.pin, `${JSON.stringify(pin, null, 2)}\n`);
}

/** What a connected server offers of what the configuration wants. */
export async function observe(client: Client, server: McpServer): Promise<Pin> {
  const { tools } = await client.listTools(undefined, { cacheMode: 'refresh', timeout: server.connect_timeout_ms });
  const { name = server.name, version = '' } = client.getServerVersion() ?? {};
  return {
    pin_version: 1,
    pinned_at: new Date().toISOString(),
    server: { name, version },
    protocol_version: client.getNegotiatedProtocolVersion() ?? '',
    tools: wanted(tools, server),
  };
}

/** The tools that the configuration includes and that can be called plainly, by name. */
export function wanted(tools: Tool[], rules: NameRules): PinnedTool[] {
  return tools
    .filter(({ name }) => wants(rules, name))
    .filter(({ execution }) => execution?.taskSupport !== 'required')
    .map(toPinned)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function compare(pinned: readonly PinnedTool[], offered: readonly PinnedTool[]): Drift {
  const now = new Map(offered.map((tool) => [tool.name, fingerprint(tool)]));
  const then = new Map(pinned.map((tool) => [tool.name, fingerprint(tool)]));
  return {
    changed: [...then].filter(([name, print]) => now.has(name) && now.get(name) !== print).map(([name]) => name),
    gone: [...then.keys()].filter((name) => !now.has(name)),
    added: [...now.keys()].filter((name) => !then.has(name)),
  };
}

function toPinned(tool: Tool): PinnedTool {
  return {
    name: tool.name,
    ...(tool.title !== undefined && { title: tool.title }),
    ...(tool.description !== undefined && { description: tool.description }),
    input_schema: tool.inputSchema as JsonObject,
    ...(tool.outputSchema && { output_schema: tool.outputSchema as JsonObject }),
    ...(tool.annotations && { annotations: tool.annotations as JsonObject }),
  };
}
