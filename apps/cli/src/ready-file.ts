import { readFile } from 'node:fs/promises';
import type { TopologyOptions } from '@callboard/jetstream';

/** `DIR/ready.json`: how people, scripts and tests reach a running stack. Members are added, never renamed. */
export interface ReadyFile {
  mcp_url: string;
  /** Of every front end; `mcp_url` is the first. */
  mcp_urls: string[];
  token: string;
  results_url: string;
  /** Of the first ingestor; events go to `/events` and `/webhooks` below it. */
  ingest_url: string;
  /** Of every ingestor. */
  ingest_urls: string[];
  nats_url: string;
  /** Where there is one: `--backstage`. */
  backstage_url?: string;
  nats_users: Record<string, { creds: string }>;
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
