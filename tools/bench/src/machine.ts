/** What the figures were measured on. Without it a figure means nothing. */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Machine {
  cpu: string;
  cores: number;
  memory_gib: number;
  system: string;
  node: string;
  nats_server: string;
}

/** What the machine gives at this moment; it changes with what others do. */
export interface Probe {
  /** Appends of 512 bytes, each synced, per second, from one thread. */
  fsync_per_s: number;
  /** Time to hash 32 MiB. */
  hash_ms: number;
}

const PROBE_MS = 400;

export function describeMachine(natsServer: string): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    system: `${process.platform} ${process.arch}`,
    node: process.version,
    nats_server: natsServer,
  };
}

/** `directory` is on the disk that the streams are on. */
export function probe(directory: string): Probe {
  const file = join(directory, 'probe');
  const line = Buffer.alloc(512, 1);
  const descriptor = openSync(file, 'a');
  const from = performance.now();
  let syncs = 0;
  while (performance.now() - from < PROBE_MS) {
    writeSync(descriptor, line);
    fsyncSync(descriptor);
    syncs += 1;
  }
  const fsync_per_s = Math.round((syncs / (performance.now() - from)) * 1000);
  closeSync(descriptor);
  rmSync(file);
  const block = Buffer.alloc(32 * 1024 ** 2);
  const hashFrom = performance.now();
  createHash('sha256').update(block).digest();
  return { fsync_per_s, hash_ms: Math.round((performance.now() - hashFrom) * 10) / 10 };
}
