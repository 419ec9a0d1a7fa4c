/**
 * The supervisor: brings up nats-server, its streams and every app, keeps them running, and takes them down in order.
 *
 * Up: data dir, nats-server, streams, then the apps together; `ready.json` appears when all of them answer their readiness check.
 * A process that dies is replaced in its place, with its name and its ports, and `ready.json` is written again when the
 * replacement is ready. Down: front ends first, so that what they have accepted can still be answered, then orchestrators, then runners, then
 * notifiers and operators' tools, which are there only when there is somebody to notify and policies that name operators, then ingestors, then filters, then audit writers, which hear of all of it, then
 * Backstage where there is one, then nats-server. Not guaranteed: that a process which hangs without dying is replaced.
 */
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CheckpointSigner } from '@callboard/audit';
import type { RunningBackstage } from '@callboard/backstage-server';
import { ServerSpec, readServers } from '@callboard/access';
import { applyTopology, connectNats, declareTopology, type NatsTls, type Topology } from '@callboard/jetstream';
import { freePort, resolveNatsServer, writeSecret } from '@callboard/nats-server';
import { startApp, type RunningApp } from './app-process.js';
import { BackstageMember } from './backstage-member.js';
import { DataDir } from './data-dir.js';
import { DiskGuard } from './disk-guard.js';
import { Echo, worthEchoing } from './echo.js';
import { COMMAND_USERS } from './external-nats.js';
import { Failure, messageOf } from './failure.js';
import { LogFile } from './log-file.js';
import { Member, type Launch, type Running } from './member.js';
import { NatsNodes } from './nats-nodes.js';
import type { ReadyFile } from './ready-file.js';
import { keepSecrets, type Secrets } from './secrets.js';
import { APPS, topologyOptions, type AppName, type StackConfig } from './stack-config.js';

export interface StackOptions {
  dataDir: string;
  fresh: boolean;
  config: StackConfig;
  /** Also a real Backstage, connected both ways. */
  backstage: boolean;
  /** One line for the person at the terminal. */
  say(line: string): void;
}

const NATS = 'nats-server';
const BACKSTAGE = 'backstage';
const HOST = '127.0.0.1';

/** How long each app waits for what it has begun, unless CALLBOARD_DRAIN_TIMEOUT_MS says otherwise; then some time to end. */
const DRAIN_MS: Record<AppName, number> = {
  'mcp-frontend': 10_000,
  'saga-orchestrator': 10_000,
  'action-runner': 20_000,
  notifier: 10_000,
  'operator-tools': 10_000,
  'event-ingestor': 10_000,
  'pii-filter': 10_000,
  'audit-writer': 10_000,
};
const END_MS = 5_000;
/** How long the nodes of a new cluster may take to find a leader, which makes the streams. */
const ELECTION_MS = 60_000;
const ELECTION_POLL_MS = 250;

export class Stack {
  readonly #nats: NatsNodes;
  readonly #apps = new Map<AppName, Member<RunningApp>[]>();
  readonly #logs: LogFile[] = [];
  #backstage: { is: BackstageMember; member: Member<RunningBackstage> } | undefined;
  readonly #topology: Topology;
  readonly #disk: DiskGuard;
  #phase: 'starting' | 'ready' | 'stopping' = 'starting';
  /** Of the first front end: runners are told before it listens. */
  #mcpPort!: number;
  /** The names of the MCP servers beside the one at `/mcp`. */
  #servers: string[] = [];
  #secrets!: Secrets;
  #ready!: ReadyFile;
  #writing: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  private constructor(
    private readonly options: StackOptions,
    private readonly dataDir: DataDir,
    natsBinary: string,
  ) {
    this.#topology = declareTopology(topologyOptions(options.config));
    const { port, nodes, syncInterval, tls } = options.config.nats;
    this.#nats = new NatsNodes(
      {
        binary: natsBinary,
        dataDir: dataDir.paths.nats,
        topology: this.#topology,
        ...{ port, nodes, syncInterval, tls },
        onLog: (line) => this.#disk.heard(line),
      },
      (instance, start) => this.#member(instance, start),
    );
    this.#disk = new DiskGuard(join(dataDir.paths.nats, 'store'), options.config.nats.minFreeBytes, {
      say: options.say,
      onScarce: (scarce) => this.#tellEdges(scarce),
      restart: () => this.#nats.restart(),
    });
  }

  /**
   * Resolves when everything answers. When something does not come up, everything is taken down again.
   * @param onStack is given the stack at once, so that a start that is under way can be stopped.
   */
  static async start(options: StackOptions, onStack: (stack: Stack) => void = () => undefined): Promise<Stack> {
    const { config, say } = options;
    if (config.port !== 0 && !(await isFree(config.port))) {
      throw new Failure(`Port ${config.port} is taken. Choose another with --port N, or any free one with --port 0.`);
    }
    if (config.ingestPort !== 0 && !(await isFree(config.ingestPort))) {
      throw new Failure(`Port ${config.ingestPort} is taken. Set another ingest_port, or 0 for any free one.`);
    }
    const writers = config.replicas['audit-writer'];
    if (writers > 1 && ledgerUrl(config) === undefined) {
      throw new Failure(
        `${writers} audit writers cannot share an embedded database: set CALLBOARD_AUDIT_DATABASE_URL, or have one.`,
      );
    }
    const { replicas } = topologyOptions(config);
    if (replicas > config.nats.nodes) {
      throw new Failure(`streams.replicas is ${replicas}, which takes as many nodes: set nats.nodes.`);
    }
    const binary = await resolveNatsServer({ onProgress: say });
    const dataDir = await DataDir.open(options.dataDir, options);
    const stack = new Stack(options, dataDir, binary.path);
    onStack(stack);
    try {
      const { nodes } = config.nats;
      say(`starting ${nodes === 1 ? '' : `${nodes} nodes of `}nats-server ${binary.version} (${binary.from})`);
      await stack.#start();
      return stack;
    } catch (error) {
      await stack.stop();
      throw error;
    }
  }

  /** As it was last written. */
  get ready(): ReadyFile {
    return this.#ready;
  }

  /** Takes everything down in order; asked again, it is the same taking down. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#takeDown());
  }

  async #takeDown(): Promise<void> {
    this.#phase = 'stopping';
    this.#disk.stop();
    await this.#writing;
    for (const app of APPS) await Promise.all((this.#apps.get(app) ?? []).map((member) => member.stop()));
    await this.#backstage?.member.stop();
    await this.#nats.stop();
    await Promise.all(this.#logs.map((log) => log.close()));
    await this.dataDir.close();
  }

  /** Ends every process now; `stop` then has nothing to wait for. What was accepted is stored and goes on at the next start. */
  kill(): void {
    for (const member of [...this.#apps.values()].flat()) member.kill();
    this.#backstage?.member.kill();
    this.#nats.kill();
  }

  async #start(): Promise<void> {
    const { config, say } = this.options;
    this.#secrets = await keepSecrets(this.dataDir.paths);
    this.#mcpPort = config.port || (await freePort());
    this.#servers = await this.#serverNames();
    await this.#nats.begin();
    await this.#applyTopology();
    if (this.options.backstage) {
      const backstage = await BackstageMember.prepare(this.dataDir.paths.backstage, say);
      const member = this.#member(BACKSTAGE, (launch) => backstage.start(this.#nats, launch), 'in its log only');
      this.#backstage = { is: backstage, member };
      say('starting Backstage');
      // Before the ingestors, which would find no bus and come back later.
      await member.begin();
    }
    const apps = APPS.filter(
      (app) => (app !== 'notifier' || this.#hasBackstage()) && (app !== 'operator-tools' || this.#hasPolicies()),
    );
    const some = apps.filter((app) => config.replicas[app] > 0);
    say(`starting ${some.map((app) => `${config.replicas[app]} ${app}`).join(', ')}`);
    for (const app of apps) {
      const instances = Array.from({ length: config.replicas[app] }, (_, i) => `${app}-${i + 1}`);
      this.#apps.set(
        app,
        instances.map((instance, i) => this.#appMember(app, instance, i === 0)),
      );
    }
    await Promise.all([...this.#apps.values()].flat().map((member) => member.begin()));
    this.#phase = 'ready';
    await this.#writeReady();
    this.#disk.start();
  }

  /** Is there somebody to notify? A tool that cannot work is not shown. */
  #hasBackstage(): boolean {
    const { notifications, env } = this.options.config;
    const url = env.notifier?.['CALLBOARD_BACKSTAGE_URL'] ?? process.env['CALLBOARD_BACKSTAGE_URL'];
    return this.#backstage !== undefined || Boolean(notifications ?? url);
  }

  /** Without any, nobody is an operator. */
  #hasPolicies(): boolean {
    const { policies, env } = this.options.config;
    return Boolean(policies ?? env['operator-tools']?.['CALLBOARD_POLICIES'] ?? process.env['CALLBOARD_POLICIES']);
  }

  /** @throws ServersError when the front ends could not use the file either */
  async #serverNames(): Promise<string[]> {
    const { servers, env } = this.options.config;
    const path = servers ?? env['mcp-frontend']?.['CALLBOARD_SERVERS'] ?? process.env['CALLBOARD_SERVERS'] ?? '';
    return (await readServers(path)).map(({ name }) => name).filter((name) => name !== ServerSpec.DEFAULT_NAME);
  }

  /** Those who take in what must be stored. */
  #tellEdges(scarce: boolean): void {
    for (const app of ['mcp-frontend', 'event-ingestor'] as const) {
      for (const member of this.#apps.get(app) ?? []) member.running?.tell({ type: 'storage', scarce });
    }
    // What could not be written while the disk was full.
    if (!scarce) void this.#writeReady();
  }

  async #applyTopology(): Promise<void> {
    const user = 'provisioner';
    const tls = this.#nats.tlsFiles(user);
    const nc = await connectNats({
      servers: this.#nats.url,
      user,
      credsFile: this.#nats.credsFile(user),
      ...(tls && { tls }),
      name: 'callboard up',
    });
    const until = Date.now() + (this.options.config.nats.nodes > 1 ? ELECTION_MS : 0);
    try {
      for (;;) {
        try {
          await applyTopology(nc, this.#topology);
          return;
        } catch (error) {
          if (Date.now() >= until || this.#phase === 'stopping') throw error;
          await delay(ELECTION_POLL_MS);
        }
      }
    } finally {
      await nc.close();
    }
  }

  #appMember(app: AppName, instance: string, isFirst: boolean): Member<RunningApp> {
    // What the first process of this place was given, every later one is given again.
    const firstPort: Partial<Record<AppName, number>> = {
      'mcp-frontend': this.#mcpPort,
      'event-ingestor': this.options.config.ingestPort,
    };
    const ports = { http: (isFirst && firstPort[app]) || 0, ops: 0 };
    return this.#member(instance, async (launch) => {
      const env = this.#env(app, instance, ports);
      const drainMs = Number(env['CALLBOARD_DRAIN_TIMEOUT_MS'] || DRAIN_MS[app]) + END_MS;
      const main = fileURLToPath(new URL(`../../${app}/dist/main.js`, import.meta.url));
      const running = await startApp({ instance, main, env, drainMs }, launch);
      Object.assign(ports, running.ports);
      return running;
    });
  }

  #env(app: AppName, instance: string, ports: { http: number; ops: number }): NodeJS.ProcessEnv {
    const { config } = this.options;
    const { paths } = this.dataDir;
    const nats = this.#nats;
    const own: Record<AppName, NodeJS.ProcessEnv> = {
      'mcp-frontend': {
        CALLBOARD_HTTP_HOST: HOST,
        CALLBOARD_HTTP_PORT: String(ports.http),
        CALLBOARD_TOKENS_FILE: paths.tokens,
        CALLBOARD_REQUEST_STATE_KEY: this.#secrets.requestStateKey,
        CALLBOARD_RESULTS_KEY: this.#secrets.resultsKey,
        ...(config.access && { CALLBOARD_ACCESS: config.access }),
        ...(config.servers && { CALLBOARD_SERVERS: config.servers }),
        ...(config.quotas && { CALLBOARD_QUOTAS: config.quotas }),
      },
      'action-runner': {
        CALLBOARD_DEMO_DIR: paths.demo,
        CALLBOARD_RESULTS_URL: `http://${HOST}:${this.#mcpPort}/results`,
        CALLBOARD_RESULTS_KEY: this.#secrets.resultsKey,
        ...(config.adapters && { CALLBOARD_ADAPTERS: config.adapters }),
        ...this.#backstage?.is.runnerEnv(config.adapters ?? process.env['CALLBOARD_ADAPTERS']),
        ...(config.actionModules && { CALLBOARD_ACTION_MODULES: config.actionModules.join(',') }),
      },
      'saga-orchestrator': {
        ...(config.sagas && { CALLBOARD_SAGAS: config.sagas }),
      },
      notifier: {
        ...this.#backstage?.is.notifierEnv(),
        ...(config.notifications && { CALLBOARD_NOTIFICATIONS: config.notifications }),
      },
      'operator-tools': {},
      'event-ingestor': {
        CALLBOARD_HTTP_HOST: HOST,
        CALLBOARD_HTTP_PORT: String(ports.http),
        CALLBOARD_INGEST_TOKEN: this.#secrets.token,
        ...(config.access && { CALLBOARD_ACCESS: config.access }),
        ...(config.sources && { CALLBOARD_SOURCES: config.sources }),
        ...this.#backstage?.is.ingestorEnv(config.sources ?? process.env['CALLBOARD_SOURCES']),
      },
      'audit-writer': {
        CALLBOARD_AUDIT_DATABASE_DIR: paths.ledger,
        CALLBOARD_AUDIT_SEALING_KEY: this.#secrets.auditSealingKey,
        CALLBOARD_AUDIT_SIGNING_KEY: this.#secrets.auditSigningKey,
      },
      'pii-filter': {
        CALLBOARD_PSEUDONYM_KEY: this.#secrets.pseudonymKey,
        ...(config.redactionPolicy && { CALLBOARD_REDACTION_POLICY: config.redactionPolicy }),
      },
    };
    return {
      ...process.env,
      CALLBOARD_NATS_URL: nats.url,
      CALLBOARD_NATS_CREDS: nats.credsFile(app),
      ...tlsVariables(nats.tlsFiles(app)),
      CALLBOARD_INSTANCE: instance,
      CALLBOARD_PARTITIONS: String(this.#topology.options.partitions),
      CALLBOARD_OPS_HOST: HOST,
      CALLBOARD_OPS_PORT: String(ports.ops),
      ...(config.policies && { CALLBOARD_POLICIES: config.policies }),
      ...own[app],
      ...config.env[app],
    };
  }

  /** A place whose process has a log, whose warnings are repeated here if they are ours, and whose deaths are told. */
  #member<T extends Running>(
    instance: string,
    start: (launch: Launch) => Promise<T>,
    warnings: 'repeated' | 'in its log only' = 'repeated',
  ): Member<T> {
    const { say } = this.options;
    const path = join(this.dataDir.paths.logs, `${instance}.log`);
    const log = new LogFile(path);
    this.#logs.push(log);
    const echo = new Echo(instance, path, say);
    const onLine = (line: string) => {
      const news = this.#phase === 'ready' && warnings === 'repeated' ? worthEchoing(line) : undefined;
      if (news) echo.line(news);
      return log.write(line) ? undefined : log.drained();
    };
    const onSpawn = (pid: number) => this.dataDir.noteChild(instance, pid);
    return new Member((signal) => start({ onLine, onSpawn, signal }), {
      onDeath: (how, ms) => say(`${instance} died (${how}); it is started again in ${ms} ms`),
      onStartFailed: (error, ms) => say(`${messageOf(error)}; next try in ${ms} ms`),
      onReplaced: () => {
        say(`${instance} is back`);
        if (this.#disk.scarce) this.#tellEdges(true);
        void this.#writeReady();
      },
    });
  }

  /** One after the other, and never once the stack goes down. */
  #writeReady(): Promise<void> {
    return (this.#writing = this.#writing.then(async () => {
      if (this.#phase !== 'ready') return;
      this.#ready = this.#describe();
      await writeSecret(this.dataDir.paths.ready, `${JSON.stringify(this.#ready, null, 2)}\n`).catch((error) => {
        this.options.say(`ready.json is not up to date: ${messageOf(error)}`);
      });
    }));
  }

  #describe(): ReadyFile {
    const nats = this.#nats;
    const apps = [...this.#apps].map(([app, members]) => [app, members.map((member) => member.running!)] as const);
    const urls = (of: AppName) =>
      apps.find(([app]) => app === of)![1].map(({ ports }) => `http://${HOST}:${ports.http}`);
    const mcpUrls = urls('mcp-frontend').map((url) => `${url}/mcp`);
    const ingestUrls = urls('event-ingestor');
    const backstage = this.#backstage?.member.running;
    const database = ledgerUrl(this.options.config);
    const others = [...COMMAND_USERS, 'service', 'eda'];
    return {
      mcp_url: mcpUrls[0]!,
      mcp_urls: mcpUrls,
      mcp_servers: Object.fromEntries(this.#servers.map((name) => [name, `${mcpUrls[0]}/${name}`])),
      token: this.#secrets.token,
      results_url: mcpUrls[0]!.replace(/mcp$/, 'results'),
      ...(ingestUrls[0] !== undefined && { ingest_url: ingestUrls[0] }),
      ingest_urls: ingestUrls,
      nats_url: nats.url,
      ...(backstage && { backstage_url: backstage.url, backstage_users: this.#backstage!.is.userTokens() }),
      nats_users: Object.fromEntries(
        others.map((user) => {
          const tls = nats.tlsFiles(user);
          return [user, { creds: nats.credsFile(user), ...(tls && { tls }) }];
        }),
      ),
      ...(database !== undefined && { database_url: database }),
      audit_public_key: new CheckpointSigner(Buffer.from(this.#secrets.auditSigningKey, 'base64')).publicKey.text,
      metrics: Object.fromEntries(
        apps.map(([app, running]) => [app, running.map(({ ports }) => `http://${HOST}:${ports.ops}/metrics`)]),
      ),
      processes: {
        [NATS]: nats.pids,
        ...(backstage && { [BACKSTAGE]: [backstage.pid] }),
        ...Object.fromEntries(apps.map(([app, running]) => [app, running.map(({ pid }) => pid)])),
      },
      supervisor_pid: process.pid,
      topology: this.#topology.options,
    };
  }
}

function tlsVariables(tls: NatsTls | undefined): NodeJS.ProcessEnv {
  if (!tls) return {};
  return {
    CALLBOARD_NATS_TLS_CA: tls.caFile,
    CALLBOARD_NATS_TLS_CERT: tls.certFile,
    CALLBOARD_NATS_TLS_KEY: tls.keyFile,
  };
}

/** Of the ledger's database, where it is not the embedded one. */
function ledgerUrl({ env }: StackConfig): string | undefined {
  const variable = 'CALLBOARD_AUDIT_DATABASE_URL';
  return env['audit-writer']?.[variable] ?? process.env[variable];
}

/** Can we listen there? */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
      .once('error', () => resolve(false))
      .listen(port, HOST, () => probe.close(() => resolve(true)));
  });
}
