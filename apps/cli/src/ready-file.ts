import { readFile } from 'node:fs/promises';
import type { NatsTls, TopologyOptions } from '@callboard/jetstream';

/** `DIR/ready.json`: how people, scripts and tests reach a running stack. Members are added, never renamed. */
export interface ReadyFile {
  mcp_url: string;
  /** Of every front end; `mcp_url` is the first. */
  mcp_urls: string[];
  /** Of every named MCP server of the first front end, by its name. */
  mcp_servers: Record<string, string>;
  token: string;
  results_url: string;
  /** Of the first ingestor, where there is one; events go to `/events` and `/webhooks` below it. */
  ingest_url?: string;
  /** Of every ingestor. */
  ingest_urls: string[];
  nats_url: string;
  /** Where there is one: `--backstage`. */
  backstage_url?: string;
  /** Its users, each with a token of a day. */
  backstage_users?: Record<string, string>;
  /** `tls`: files, where the server asks for certificates. */
  nats_users: Record<string, { creds: string; tls?: NatsTls }>;
  /** Of the ledger, where it is in a PostgreSQL server. */
  database_url?: string;
  /** With which checkpoints of the ledger are verified. */
  audit_public_key: string;
  metrics: Record<string, string[]>;
  processes: Record<string, number[]>;
  /** The one to signal. */
  supervisor_pid: number;
  /** The declared streams, as `streams check` compares them. */
  topology: TopologyOptions;
}

/** Undefined when there is none: no stack is ready there. */
export async function readReadyFile(path: string): Promise<ReadyFile | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as ReadyFile);
}
