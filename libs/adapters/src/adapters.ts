/** All actions of this runner that live outside it, from its adapter files. */
import { dirname, resolve } from 'node:path';
import { ActionSet, type ActionDefinition, type ActionError } from '@callboard/actions';
import { SecretTexts, VaultClient } from '@callboard/config';
import type { Logger } from '@callboard/telemetry';
import { AdapterFileError, readAdapterFile } from './adapter-file.js';
import { BackstageClient } from './backstage/backstage-client.js';
import { entityResource } from './backstage/entity-resource.js';
import { Mirror, type LastSeen } from './backstage/mirror.js';
import { RUN_TEMPLATE, runTemplate } from './backstage/run-template.js';
import type { BackstageSite } from './backstage/site.js';
import { techdocsResource } from './backstage/techdocs-resource.js';
import { ServiceToken, type BackstageTokens } from './backstage/tokens.js';
import { DownstreamServer, lookAt } from './mcp/downstream-server.js';
import { mcpActions } from './mcp/mcp-actions.js';
import { compare, readPin, writePin, type Drift, type Pin } from './mcp/pin.js';
import { wants } from './name-rules.js';
import { remoteAction, type RemoteDependencies } from './remote/remote-action.js';

export interface Adapters {
  /** Those of the file from the beginning; those that a far side lists once it was asked, and for as long as it lists them. */
  actions: ActionSet;
  /** Resolves when far sides that list their actions were asked, or cannot be now. */
  start(): Promise<void>;
  /** Lets go of every far side. */
  close(): Promise<void>;
}

export interface AdapterDependencies extends RemoteDependencies {
  env: NodeJS.ProcessEnv;
  log: Logger;
  /** Told of an action that a far side lists under a name that another has: it is left out. */
  onTaken(id: string): void;
  /** Where what far sides listed last is kept. */
  lastSeen(): LastSeen;
  /** With which tokens a Backstage is called for a caller; without it the service token is everybody's. */
  backstageTokens?(site: BackstageSite, service: ServiceToken): BackstageTokens;
}

interface Opened {
  vault: VaultClient | undefined;
  actions: ActionSet;
  servers: DownstreamServer[];
  mirrors: Map<string, Mirror>;
}

/**
 * @param paths an adapter file, or several: comma separated
 * @throws AdapterFileError when a file, or what it names, cannot be used. No far side is connected.
 */
export async function openAdapters(paths: string, deps: AdapterDependencies): Promise<Adapters> {
  const opened: Opened = {
    vault: VaultClient.fromEnv(deps.env),
    actions: new ActionSet(),
    servers: [],
    mirrors: new Map(),
  };
  for (const path of paths.split(',').map((part) => part.trim())) await openFile(path, opened, deps);
  const { actions, servers } = opened;
  const mirrors = [...opened.mirrors.values()];
  return {
    actions,
    start: async () => void (await Promise.all(mirrors.map((mirror) => mirror.start(deps.lastSeen())))),
    close: async () => void (await Promise.all([...servers, ...mirrors].map((farSide) => farSide.close()))),
  };
}

async function openFile(
  path: string,
  { vault, actions, servers, mirrors }: Opened,
  deps: AdapterDependencies,
): Promise<void> {
  const { env, log } = deps;
  const file = await readAdapterFile(path, env);
  const secrets = new SecretTexts(dirname(resolve(path)), vault);
  const add = (action: ActionDefinition) => {
    const { id } = action.descriptor;
    if (actions.get(id)) throw new AdapterFileError(`${path}: another action is called ${id} already`);
    actions.add(action);
  };
  for (const config of file.actions) add(remoteAction(config, deps, path, secrets));
  for (const config of file.mcp_servers) {
    const pin = await readPin(config);
    const server = new DownstreamServer(config, pin, log, secrets);
    servers.push(server);
    for (const action of mcpActions(config, pin, server)) add(action);
  }
  for (const site of file.backstages) {
    if (mirrors.has(site.name))
      throw new AdapterFileError(`${path}: another file has a Backstage ${site.name} already`);
    const service = new ServiceToken(site.token, secrets);
    const client = new BackstageClient(site, deps.backstageTokens?.(site, service) ?? service, secrets);
    if (site.entities !== undefined) add(entityResource(site, site.entities, client));
    if (site.docs !== undefined) add(techdocsResource(site, site.docs, client));
    if (site.plugins.includes('scaffolder') && wants(site, RUN_TEMPLATE)) {
      add(runTemplate(site, client, () => deps.handovers()));
    }
    const mirror = new Mirror(site, client, log);
    mirrors.set(site.name, mirror);
    actions.include(mirror.actions, deps.onTaken);
  }
}

export interface PinReport {
  server: string;
  file: string;
  tools: number;
  /** Against the pin file of before; everything is `added` when there was none. */
  drift: Drift;
}

/**
 * Looks at the downstream MCP servers of an adapter file and writes their pin files.
 * @param options.write false compares only, and there must be something to compare with
 */
export async function pinServers(
  path: string,
  env: NodeJS.ProcessEnv,
  log: Logger,
  options: { only?: string; write: boolean },
): Promise<PinReport[]> {
  const file = await readAdapterFile(path, env);
  const secrets = new SecretTexts(dirname(resolve(path)), VaultClient.fromEnv(env));
  const reports: PinReport[] = [];
  for (const config of file.mcp_servers.filter(({ name }) => options.only === undefined || name === options.only)) {
    const none = (error: Error) => (options.write ? { tools: [] } : Promise.reject(error));
    const before: Pick<Pin, 'tools'> = await readPin(config).catch(none);
    const now = await lookAt(config, log, secrets);
    // Would every tool be an action? Better said now than at the start of a runner.
    mcpActions(config, now, new DownstreamServer(config, now, log, secrets));
    if (options.write) await writePin(config, now);
    reports.push({
      server: config.name,
      file: config.pin,
      tools: now.tools.length,
      drift: compare(before.tools, now.tools),
    });
  }
  return reports;
}

export interface BackstageAnswer {
  name: string;
  url: string;
  plugin: string;
  /** Absent where Backstage listed the actions of the plug-in. */
  problem?: { why: 'unreachable' | 'unauthorized' | 'other'; message: string };
}

const ANSWER_MS = 10_000;

/**
 * Asks each Backstage of adapter files what a runner asks it for first: the actions of its plug-ins.
 * @throws AdapterFileError when a file cannot be used
 */
export async function askBackstages(paths: string, env: NodeJS.ProcessEnv): Promise<BackstageAnswer[]> {
  const answers: Promise<BackstageAnswer>[] = [];
  for (const path of paths.split(',').map((part) => part.trim())) {
    const file = await readAdapterFile(path, env);
    const secrets = new SecretTexts(dirname(resolve(path)), VaultClient.fromEnv(env));
    for (const site of file.backstages) {
      const client = new BackstageClient(site, new ServiceToken(site.token, secrets), secrets);
      for (const plugin of site.plugins) {
        const { name, url } = site;
        answers.push(
          client.list(plugin, AbortSignal.timeout(ANSWER_MS)).then(
            () => ({ name, url, plugin }),
            (error: unknown) => ({ name, url, plugin, problem: problemOf(error) }),
          ),
        );
      }
    }
  }
  return Promise.all(answers);
}

function problemOf(error: unknown): NonNullable<BackstageAnswer['problem']> {
  const { code, cause, message } = error as Partial<ActionError>;
  const denied = code === 'unauthorized' || code === 'forbidden';
  // What Backstage itself says has no other cause.
  const why = denied ? 'unauthorized' : cause === undefined ? 'other' : 'unreachable';
  return { why, message: message ?? 'no answer' };
}
