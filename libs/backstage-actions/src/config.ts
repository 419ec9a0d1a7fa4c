/** What the app-config says of Callboard. */
import type { RootConfigService } from '@backstage/backend-plugin-api';
import type { Callboard } from './durable-call.js';

/** Which token a call carries: always that of the app-config, or the user's where a user calls. */
export type CallAs = 'service' | 'user';

export interface CallboardConfig extends Callboard {
  /** Of the app-config; none on a Callboard that asks for none. */
  token: string | undefined;
}

export interface ActionsConfig {
  include: string[];
  exclude: string[];
  refreshMs: number;
  callAs: CallAs;
}

export interface McpServerConfig {
  name: string;
  url: string;
  headers: Record<string, string>;
  timeoutMs: number;
}

const DEFAULT_PATIENCE_MS = 15 * 60_000;
const DEFAULT_REFRESH_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 60_000;
const LONGEST_MS = 24 * 3_600_000;

/** @throws Error naming the key that is wrong and what it must be */
export function readCallboard(root: RootConfigService): CallboardConfig {
  const config = root.getConfig('callboard.mcp');
  return {
    url: httpUrl(config.getString('url'), 'callboard.mcp.url'),
    token: config.getOptionalString('token'),
    patienceMs: milliseconds(config.getOptionalNumber('patienceMs'), DEFAULT_PATIENCE_MS, 'callboard.mcp.patienceMs'),
  };
}

/** @throws Error as above */
export function readActions(root: RootConfigService): ActionsConfig {
  const config = root.getConfig('callboard.actions');
  const callAs = config.getOptionalString('callAs') ?? 'service';
  if (callAs !== 'service' && callAs !== 'user') throw new Error('callboard.actions.callAs must be service or user');
  return {
    include: config.getOptionalStringArray('include') ?? ['*'],
    exclude: config.getOptionalStringArray('exclude') ?? [],
    refreshMs: milliseconds(config.getOptionalNumber('refreshMs'), DEFAULT_REFRESH_MS, 'callboard.actions.refreshMs'),
    callAs,
  };
}

/** @throws Error as above */
export function readMcpServers(root: RootConfigService): McpServerConfig[] {
  const servers = root.getOptionalConfigArray('callboard.scaffolder.mcpServers') ?? [];
  return servers.map((server, index) => {
    const key = `callboard.scaffolder.mcpServers[${index}]`;
    const headers = server.getOptional<Record<string, string>>('headers') ?? {};
    for (const [name, value] of Object.entries(headers)) {
      if (typeof value !== 'string') throw new Error(`${key}.headers.${name} must be text`);
    }
    return {
      name: server.getString('name'),
      url: httpUrl(server.getString('url'), `${key}.url`),
      headers,
      timeoutMs: milliseconds(server.getOptionalNumber('timeoutMs'), DEFAULT_TIMEOUT_MS, `${key}.timeoutMs`),
    };
  });
}

function httpUrl(text: string, key: string): string {
  if (!/^https?:$/.test(URL.parse(text)?.protocol ?? '')) throw new Error(`${key} must be an http or https URL`);
  return text;
}

function milliseconds(value: number | undefined, otherwise: number, key: string): number {
  if (value === undefined) return otherwise;
  if (Number.isInteger(value) && value >= 1_000 && value <= LONGEST_MS) return value;
  throw new Error(`${key} must be a whole number from 1000 to ${LONGEST_MS}`);
}
