/** For specs: what runs commands and knows of them, on a real nats-server, and a runner that does what the spec says. */
import { ServerSpec, type Quota } from '@callboard/access';
import { MemoryAudit } from '@callboard/audit';
import {
  CallboardError,
  inputSubject,
  parseEnvelope,
  type CommandEnvelope,
  type JsonObject,
} from '@callboard/envelope';
import {
  AckedPublisher,
  CallerTokens,
  CommandClient,
  OutcomePublisher,
  STREAM,
  type Ending,
} from '@callboard/jetstream';
import { waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Admission } from './admission.js';
import { Invoker } from './call.js';
import type { EventCalls } from './events/event-calls.js';
import { FairShare } from './fair-share.js';
import { UnderWayLimit } from './under-way-limit.js';
import { Handles } from './handles.js';
import { SagaDesk } from './sagas/saga-desk.js';
import { McpServer } from './mcp-server.js';
import { openAccess } from './spec-access.js';
import { quotas } from './spec-quotas.js';
import { Tasks } from './tasks.js';

export interface SpecInvokerOptions {
  quota?: Partial<Quota>;
  turns?: FairShare;
  instance?: string;
  syncWindowMs?: number;
  events?: Pick<EventCalls, 'serve'>;
  /** Path of policies; without it everything is allowed. */
  policies?: string;
}

const NO_EVENTS = {
  serve: () => {
    throw new CallboardError('unknown_action');
  },
};

export type SpecInvoker = Awaited<ReturnType<typeof startInvoker>>;

export async function startInvoker(nc: NatsConnection, options: SpecInvokerOptions = {}) {
  const { quota = {}, syncWindowMs = 200, events = NO_EVENTS } = options;
  const commands = await CommandClient.start(nc, { instance: options.instance ?? 'spec front end' });
  const admission = new Admission(quotas(quota), () => undefined);
  const handles = await Handles.open(nc, commands, admission);
  const sagas = await SagaDesk.open(nc, 60_000);
  const faults: unknown[] = [];
  const audit = new MemoryAudit();
  const onError = (error: unknown) => faults.push(error);
  const { access } = await openAccess(options.policies, audit);
  const invoker = new Invoker(
    commands,
    handles,
    admission,
    options.turns ?? new FairShare({ underWay: new UnderWayLimit(16, () => performance.now()), linePerTenant: 1_024 }),
    syncWindowMs,
    events,
    sagas,
    onError,
    audit,
    new CallerTokens(nc),
    access,
    new McpServer(new ServerSpec(''), {
      view: { version: 'spec', actions: new Map() },
      mayLack: false,
      onChange: () => () => undefined,
    }),
  );
  return { commands, handles, admission, invoker, tasks: new Tasks(handles, commands, access), faults, audit };
}

export const text = (words: string): JsonObject => ({ content: [{ type: 'text', text: words }] });
export const elicit = (message: string) => ({
  method: 'elicitation/create',
  params: { message, requestedSchema: { type: 'object', properties: {} } },
});

/** Takes commands one by one, in the order of acceptance, and ends them as the spec says. */
export class SpecRunner {
  #read = 0;

  private constructor(
    private readonly publisher: AckedPublisher,
    private readonly outcomes: OutcomePublisher,
    readonly sre: JetStreamManager,
  ) {}

  static async start(nats: TestNats): Promise<SpecRunner> {
    const publisher = new AckedPublisher(await nats.connect('action-runner'));
    const sre = await jetstreamManager(await nats.connect('sre'));
    return new SpecRunner(publisher, new OutcomePublisher(publisher, 'spec runner'), sre);
  }

  close(): void {
    this.publisher.close();
  }

  async next(): Promise<CommandEnvelope> {
    const query = { seq: this.#read + 1 };
    const message = await waitFor(() => this.sre.direct.getMessage(STREAM.commands, query).catch(() => undefined), {
      what: 'a command',
    });
    this.#read += 1;
    return { ...parseEnvelope(message.data) };
  }

  /** Commands that were stored and not taken. */
  async waiting(): Promise<number> {
    return (await this.sre.streams.info(STREAM.commands)).state.last_seq - this.#read;
  }

  end(command: CommandEnvelope, ending: Partial<Ending> = {}) {
    return this.outcomes.publish(command, { status: 'succeeded', result: text('done'), attempts: 1, ...ending });
  }

  /** Asks as a running action does: each question says its key. */
  async ask(command: CommandEnvelope, ...keys: string[]): Promise<void> {
    for (const key of keys) {
      const subject = inputSubject(command.tenant_id, command.correlation_id, key);
      await this.publisher.publish(subject, Buffer.from(JSON.stringify(elicit(key))), '', 5_000);
    }
  }

  async progress({ tenant_id, correlation_id }: CommandEnvelope, progress: number, total: number): Promise<void> {
    const fact = { kind: 'progress', correlation_id, attempt: 1, progress, total, message: `step ${progress}` };
    const subject = `progress.${tenant_id}.${correlation_id}`;
    await this.publisher.publish(subject, Buffer.from(JSON.stringify(fact)), '', 5_000);
  }

  /** Waits for a fact of OUTCOMES. */
  async stored(subject: string): Promise<JsonObject> {
    const find = () => this.sre.direct.getMessage(STREAM.outcomes, { last_by_subj: subject });
    return (await waitFor(find, { what: subject })).json();
  }
}
