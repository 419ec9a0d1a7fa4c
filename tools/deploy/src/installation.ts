/** An installation as somebody would make it: keys by `callboard deploy prepare`, manifests by helm. Secrets as the chart's pods expect them. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '@callboard/nats-server';
import { parseAllDocuments } from 'yaml';
import type { Helm } from './helm.js';
import { inRepository } from './repository.js';
import { manifestsOf, render, type Manifest, type Scenario } from './scenarios.js';

export interface Installation {
  manifests: Manifest[];
  /** Name of a Secret: its keys. */
  secrets: Map<string, Record<string, string>>;
}

const PREPARE_MS = 60_000;

/** Writes keys to the folder. */
export async function prepareInstallation(helm: Helm, scenario: Scenario, folder: string): Promise<Installation> {
  await runCommand(process.execPath, [inRepository('apps/cli/dist/main.js'), 'deploy', 'prepare', folder], {
    timeoutMs: PREPARE_MS,
  });
  const text = await readFile(join(folder, 'secrets.yaml'), 'utf8');
  const secrets = parseAllDocuments(text).map((document) => {
    const { metadata, stringData } = document.toJS() as Manifest & { stringData: Record<string, string> };
    return [metadata.name, stringData] as const;
  });
  const manifests = manifestsOf(await render(helm, scenario, '--values', join(folder, 'values.yaml')));
  return { manifests, secrets: new Map(secrets) };
}

/** The configuration of the NATS of an installation, and the seeds of its users, as `startNatsCluster` takes them. */
export async function writeRenderedNats(installation: Installation, prepared: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'nats.conf'), natsConfOf(installation.manifests));
  await cp(join(prepared, 'nats', 'users'), join(folder, 'users'), { recursive: true });
}

export function natsConfOf(manifests: readonly Manifest[]): string {
  const config = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'callboard-nats')!;
  return (config['data'] as Record<string, string>)['nats.conf']!;
}
