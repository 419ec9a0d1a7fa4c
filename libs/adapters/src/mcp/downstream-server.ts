/**
 * The connection to one downstream MCP server. The first call makes it; it is kept until it breaks or the process stops; then the
 * next call makes another, after a pause that grows while connecting fails.
 *
 * Whenever it is made, and whenever the server says that its tools have changed, what the server offers is compared with the pin.
 */
import { Client, SdkHttpError, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { StdioClientTransport, getDefaultEnvironment } from '@modelcontextprotocol/client/stdio';
import type { Transport, VersionNegotiationMode } from '@modelcontextprotocol/client';
import type { SecretTexts } from '@callboard/config';
import { ActionError } from '@callboard/actions';
import { tellEverything } from '@callboard/mcp-client';
import { metrics, type Logger } from '@callboard/telemetry';
import { Counter, Gauge } from 'prom-client';
import type { McpServer } from '../adapter-file.js';
import { notDone, pause, unlessAborted } from '../endings.js';
import { compare, observe, wanted, type Drift, type Pin } from './pin.js';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
const MODERN_REVISION = '2026-07-28';
const NO_DRIFT: Drift = { changed: [], gone: [], added: [] };

const connects = new Counter({
  name: 'callboard_mcp_server_connects_total',
  help: 'Connections to downstream MCP servers, made and failed',
  labelNames: ['server', 'result'],
  registers: [metrics],
});
const drifted = new Gauge({
  name: 'callboard_mcp_server_drift',
  help: 'Pinned tools that their downstream MCP server has changed or no longer has',
  labelNames: ['server'],
  registers: [metrics],
});

export class DownstreamServer {
  #client: Client | undefined;
  #connecting: Promise<Client> | undefined;
  #failures = 0;
  #notBefore = 0;
  #drift = NO_DRIFT;
  readonly #stopped = new AbortController();

  constructor(
    readonly config: McpServer,
    private readonly pin: Pin,
    private readonly log: Logger,
    private readonly secrets: SecretTexts,
  ) {}

  /** How the server differs from its pin, as far as it was seen. */
  get drift(): Drift {
    return this.#drift;
  }

  /**
   * The connection, made if there is none.
   * @throws ActionError, retryable, when the server cannot be reached within its `connect_timeout_ms`
   */
  async connected(signal: AbortSignal): Promise<Client> {
    if (this.#client) return this.#client;
    const wait = this.#notBefore - Date.now();
    if (wait > 0 && !this.#connecting) await pause(wait, signal);
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return unlessAborted(signal, this.#connecting);
  }

  /** Lets go of a connection that has proved to be of no use; the next call makes another. */
  async reset(client: Client): Promise<void> {
    if (this.#client === client) this.#client = undefined;
    await client.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#stopped.abort(notDone('This runner is stopping'));
    await this.#connecting?.catch(() => undefined);
    if (this.#client) await this.reset(this.#client);
  }

  async #connect(): Promise<Client> {
    const { name, connect_timeout_ms: timeout } = this.config;
    const modern = this.pin.protocol_version === MODERN_REVISION;
    const config = await this.#filled();
    const opened = openClient(config, modern ? { pin: MODERN_REVISION } : 'legacy', this.log, (tools) =>
      this.#compare(wanted(tools, this.config)),
    );
    try {
      const client = await unlessAborted(this.#stopped.signal, withClient(opened, timeout));
      client.onclose = () => {
        if (this.#client === client) this.#client = undefined;
      };
      this.#compare((await observe(client, this.config)).tools);
      this.#client = client;
      this.#failures = 0;
      connects.inc({ server: name, result: 'made' });
      return client;
    } catch (error) {
      void opened.client.close().catch(() => undefined);
      const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
      this.#notBefore = Date.now() + longest * (0.5 + Math.random() / 2);
      connects.inc({ server: name, result: 'failed' });
      this.log.warn({ server: name, err: error }, 'a downstream MCP server cannot be reached');
      throw refusesUs(error)
        ? new ActionError(`MCP server ${name} does not accept our credentials`, { cause: error })
        : notDone(`MCP server ${name} cannot be reached`, error);
    }
  }

  /** Secrets are read for each connection. */
  async #filled(): Promise<McpServer> {
    try {
      return await filled(this.config, this.secrets);
    } catch (error) {
      throw notDone(`A secret for MCP server ${this.config.name} cannot be had now`, error);
    }
  }

  #compare(offered: Pin['tools']): void {
    const drift = compare(this.pin.tools, offered);
    const known = JSON.stringify(drift) === JSON.stringify(this.#drift);
    this.#drift = drift;
    drifted.set({ server: this.config.name }, drift.changed.length + drift.gone.length);
    if (known) return;
    if (drift.changed.length + drift.gone.length > 0) {
      this.log.warn({ server: this.config.name, ...drift }, 'a downstream MCP server is not as it was pinned');
    } else if (drift.added.length > 0) {
      this.log.info({ server: this.config.name, ...drift }, 'a downstream MCP server has tools that are not pinned');
    }
  }
}

/** Connects for once, whatever revision the server speaks, looks, and closes. */
export async function lookAt(config: McpServer, log: Logger, secrets: SecretTexts): Promise<Pin> {
  const opened = openClient(await filled(config, secrets), 'auto', log, () => undefined);
  try {
    return await observe(await withClient(opened, config.connect_timeout_ms), config);
  } finally {
    await opened.client.close().catch(() => undefined);
  }
}

interface Opened {
  client: Client;
  transport: Transport;
}

async function filled(config: McpServer, secrets: SecretTexts): Promise<McpServer> {
  const { stdio, http } = config;
  return {
    ...config,
    ...(stdio && { stdio: { ...stdio, env: (await secrets.fillAll(stdio.env)).value } }),
    ...(http && { http: { ...http, headers: (await secrets.fillAll(http.headers)).value } }),
  };
}

function openClient(
  config: McpServer,
  mode: VersionNegotiationMode,
  log: Logger,
  onTools: (tools: Parameters<typeof wanted>[0]) => void,
): Opened {
  const client = new Client(
    { name: 'callboard', version: '1' },
    {
      versionNegotiation: { mode },
      listChanged: { tools: { onChanged: (_, tools) => tools && onTools(tools) } },
    },
  );
  const { stdio, http } = config;
  if (http) {
    return {
      client,
      transport: new StreamableHTTPClientTransport(new URL(http.url), { requestInit: { headers: http.headers } }),
    };
  }
  const transport = new StdioClientTransport({
    ...stdio!,
    // Not the runner's environment, which holds its secrets.
    env: { ...getDefaultEnvironment(), ...stdio!.env },
    stderr: 'pipe',
  });
  transport.stderr?.on('data', (chunk: Buffer) => log.debug({ server: config.name }, chunk.toString().trimEnd()));
  return { client, transport };
}

async function withClient({ client, transport }: Opened, timeout: number): Promise<Client> {
  await client.connect(transport, { timeout, maxTotalTimeout: timeout });
  tellEverything(transport);
  return client;
}

function refusesUs(error: unknown): boolean {
  if (error instanceof UnauthorizedError) return true;
  return error instanceof SdkHttpError && (error.status === 401 || error.status === 403);
}
