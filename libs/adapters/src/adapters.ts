/** All actions of this runner that live outside it, from the adapter file. */
import { ActionSet, type ActionDefinition } from '@callboard/actions';
import type { Logger } from '@callboard/telemetry';
import { AdapterFileError, readAdapterFile } from './adapter-file.js';
import { BackstageClient } from './backstage/backstage-client.js';
import { entityResource } from './backstage/entity-resource.js';
import { Mirror, type LastSeen } from './backstage/mirror.js';
import type { BackstageSite } from './backstage/site.js';
import { ServiceToken, type BackstageTokens } from './backstage/tokens.js';
import { DownstreamServer, lookAt } from './mcp/downstream-server.js';
import { mcpActions } from './mcp/mcp-actions.js';
import { compare, readPin, writePin, type Drift, type Pin } from './mcp/pin.js';
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
  backstageTokens?(site: BackstageSite): BackstageTokens;
}

/** @throws AdapterFileError when the file, or what it names, cannot be used. No far side is connected. */
export async function openAdapters(path: string, deps: AdapterDependencies): Promise<Adapters> {
  const { env, log } = deps;
  const file = await readAdapterFile(path, env);
  const actions = new ActionSet();
  const servers: DownstreamServer[] = [];
  const add = (action: ActionDefinition) => {
    const { id } = action.descriptor;
    if (actions.get(id)) throw new AdapterFileError(`${path}: two of its actions are called ${id}`);
    actions.add(action);
  };
  for (const config of file.actions) add(remoteAction(config, deps, path));
  for (const config of file.mcp_servers) {
    const pin = await readPin(config);
    const server = new DownstreamServer(config, pin, log);
    servers.push(server);
    for (const action of mcpActions(config, pin, server)) add(action);
  }
  const mirrors: Mirror[] = [];
  for (const site of file.backstages) {
    const client = new BackstageClient(site, deps.backstageTokens?.(site) ?? new ServiceToken(site.token));
    if (site.entities !== undefined) add(entityResource(site, site.entities, client));
    const mirror = new Mirror(site, client, log);
    mirrors.push(mirror);
    actions.include(mirror.actions, deps.onTaken);
  }
  return {
    actions,
    start: async () => void (await Promise.all(mirrors.map((mirror) => mirror.start(deps.lastSeen())))),
    close: async () => void (await Promise.all([...servers, ...mirrors].map((farSide) => farSide.close()))),
  };
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
  const reports: PinReport[] = [];
  for (const config of file.mcp_servers.filter(({ name }) => options.only === undefined || name === options.only)) {
    const none = (error: Error) => (options.write ? { tools: [] } : Promise.reject(error));
    const before: Pick<Pin, 'tools'> = await readPin(config).catch(none);
    const now = await lookAt(config, log);
    // Would every tool be an action? Better said now than at the start of a runner.
    mcpActions(config, now, new DownstreamServer(config, now, log));
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
