/**
 * The nats-server of a stack: one, or the nodes of a cluster, each in a place of its own and replaced when it dies.
 *
 * Ports and names stay with the places, so that clients and the other nodes find a replacement where the dead one was.
 */
import { freePort, startNatsServer, type NatsServerOptions, type RunningNatsServer } from '@callboard/nats-server';
import type { Launch, Member } from './member.js';

type Shared = Pick<NatsServerOptions, 'binary' | 'dataDir' | 'topology' | 'syncInterval' | 'tls'>;

export interface NatsNodesOptions extends Shared {
  nodes: number;
  /** Of the first node; 0 takes any free one. */
  port: number;
  onLog(line: string): void;
}

const NAME = 'nats-server';

export class NatsNodes {
  readonly #members: Member<RunningNatsServer>[];
  readonly #ports: number[] = [];
  readonly #routes: number[] = [];

  constructor(
    private readonly options: NatsNodesOptions,
    member: (instance: string, start: (launch: Launch) => Promise<RunningNatsServer>) => Member<RunningNatsServer>,
  ) {
    const { nodes } = options;
    this.#members = Array.from({ length: nodes }, (_, i) =>
      member(nodes === 1 ? NAME : `${NAME}-${i + 1}`, (launch) => this.#start(i, launch)),
    );
  }

  async begin(): Promise<void> {
    const { nodes, port } = this.options;
    for (let i = 0; i < nodes; i++) {
      this.#ports.push((i === 0 && port) || (await freePort()));
      if (nodes > 1) this.#routes.push(await freePort());
    }
    // The first makes the keys that all of them share.
    for (const member of this.#members) await member.begin();
  }

  /** Of every node, for clients to go to another when one is gone. */
  get url(): string {
    const scheme = this.options.tls ? 'tls' : 'nats';
    return this.#ports.map((port) => `${scheme}://127.0.0.1:${port}`).join(',');
  }

  get pids(): number[] {
    return this.#members.map((member) => member.running!.pid);
  }

  credsFile(user: string): string {
    return this.#members[0]!.running!.credsFile(user);
  }

  tlsFiles(user: string): ReturnType<RunningNatsServer['tlsFiles']> {
    return this.#members[0]!.running!.tlsFiles(user);
  }

  /** Has every node end in order and start anew. */
  restart(): void {
    for (const member of this.#members) void member.running?.stop();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.stop()));
  }

  kill(): void {
    for (const member of this.#members) member.kill();
  }

  #start(index: number, { onLine, onSpawn, signal }: Launch): Promise<RunningNatsServer> {
    const { binary, dataDir, topology, syncInterval, tls, onLog } = this.options;
    return startNatsServer({
      binary,
      dataDir,
      topology,
      ...(syncInterval !== undefined && { syncInterval }),
      ...(tls !== undefined && { tls }),
      port: this.#ports[index]!,
      ...(this.#routes.length > 0 && {
        cluster: { name: `n${index + 1}`, port: this.#routes[index]!, routes: this.#routes },
      }),
      onLog: (line) => {
        onLog(line);
        void onLine(line);
      },
      onSpawn,
      signal,
    });
  }
}
