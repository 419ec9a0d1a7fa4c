/**
 * Commands that their callers hold by a handle: a task, the correlation id of a call that was accepted for later, or the sealed state
 * of a question. All that is known of them is in the streams, so every replica answers the same. For anybody but the principal that
 * made the command there is no such command.
 *
 * Questions. A running command that asks (`context.ask`) has its questions and their answers in the stream. A command may also have
 * ended by asking; its caller would have called again with the answers. Who holds a handle need not: here the next command is made as
 * soon as all is answered, under an id that follows from the first (so it is made once, whoever makes it), and the handle stands for that one.
 * The keys of its questions end with the number of the round: under one handle no key is used for two questions.
 */
import { createHash } from 'node:crypto';
import type { Identity } from '@callboard/access';
import {
  LIMITS,
  actionId,
  answerSubject,
  inputKeyOf,
  isWellFormed,
  parseEnvelope,
  progressSubject,
  storedCommandSubjects,
  type AcceptedRecord,
  type CommandEnvelope,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import {
  STREAM,
  acceptedRecord,
  readSubject,
  type CommandClient,
  type CommandState,
  type OpenInputs,
  type Submission,
} from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { insist } from './insist.js';
import { isObject } from './is-object.js';
import type { McpServer } from './mcp-server.js';
import type { Admission } from './admission.js';

/** What a handle stands for now. `createdAt` is when its first command was accepted. */
export type Held =
  | { kind: 'ended'; createdAt: string; outcome: Outcome }
  | {
      kind: 'open';
      createdAt: string;
      /** What is to be watched, or cancelled. */
      accepted: AcceptedRecord;
      /** The command whose questions these are, and what their keys end with here. */
      asker: string;
      suffix: string;
      inputs: OpenInputs;
    };

/** The action whose command it is. */
export function toolOf(held: Held): string {
  return actionId(held.kind === 'ended' ? held.outcome : held.accepted);
}

const READ_TIMEOUT_MS = 1_000;
/** Commands that one handle may come to stand for. */
const MAX_ROUNDS = 16;

export class Handles {
  private constructor(
    private readonly commands: CommandClient,
    private readonly admission: Admission,
    private readonly jsm: JetStreamManager,
    /** Of which actions there are commands here. */
    private readonly shows: (actionId: string) => boolean = () => true,
  ) {}

  static async open(nc: NatsConnection, commands: CommandClient, admission: Admission): Promise<Handles> {
    const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: READ_TIMEOUT_MS });
    return new Handles(commands, admission, jsm);
  }

  /** The handles of an MCP server, where commands of an action that it does not show are none. */
  of({ shows }: Pick<McpServer, 'shows'>): Handles {
    return new Handles(this.commands, this.admission, this.jsm, shows);
  }

  /**
   * The command, which was counted in, goes on without its caller: it is counted out when it has ended. Until then nothing of it is held
   * in memory but its name. Does not reject.
   */
  async countUntilEnded(principal: Identity, submission: Submission): Promise<void> {
    try {
      await submission.keep();
      submission.release();
      const { command } = submission;
      await this.commands.watch('args' in command ? acceptedRecord(command) : command).outcome;
    } catch {
      // It could not be kept now: it is waited for as it was.
      await submission.outcome.catch(() => undefined);
    }
    this.admission.leave(principal);
  }

  /** @throws CallboardError `unavailable` when the streams cannot be read */
  find({ tenantId, userId }: Identity, id: string): Promise<Held | undefined> {
    if (id === '' || id.length > LIMITS.nameChars || !isWellFormed(id)) return Promise.resolve(undefined);
    return insist(async () => {
      const state = await this.commands.find(tenantId, id);
      if (!state) return undefined;
      const command = state.kind === 'ended' ? state.outcome : state.accepted;
      if (command.user_id !== userId || !this.shows(actionId(command))) return undefined;
      return this.#latest(state, command.issued_at);
    });
  }

  /**
   * Stores answers to the open questions of a command; the first answer to a question counts, and an answer to anything else is
   * ignored. Returns what the handle stands for then.
   */
  async answer(principal: Identity, id: string, responses: JsonObject): Promise<Held | undefined> {
    const held = await this.find(principal, id);
    if (held?.kind !== 'open') return held;
    const given = Object.keys(held.inputs).filter((key) => Object.hasOwn(responses, key) && isObject(responses[key]));
    if (given.length === 0) return held;
    await Promise.all(
      given.map((key) => {
        const asked = key.slice(0, key.length - held.suffix.length);
        return this.commands.answer(principal.tenantId, held.asker, asked, responses[key] as JsonObject);
      }),
    );
    return this.find(principal, id);
  }

  /**
   * Cancels the command if it has not ended. Returns false when there is no such command.
   * @param check asked before, about what it is a command of
   */
  async cancel(principal: Identity, id: string, check: (tool: string) => void = () => undefined): Promise<boolean> {
    const held = await this.find(principal, id);
    if (held) check(toolOf(held));
    if (held?.kind === 'open') await this.commands.cancel(held.accepted);
    return held !== undefined;
  }

  /** The last of a command's progress; nothing when it said something else since. */
  lastProgress({ accepted }: Extract<Held, { kind: 'open' }>): Promise<Progress | undefined> {
    const last_by_subj = progressSubject(accepted.tenant_id, accepted.correlation_id);
    return insist(async () => {
      const fact = (await this.jsm.direct.getMessage(STREAM.progress, { last_by_subj }))?.json<Progress>();
      return fact?.kind === 'progress' ? fact : undefined;
    });
  }

  async #latest(first: CommandState, createdAt: string): Promise<Held> {
    let state = first;
    let round = 1;
    const open = (accepted: AcceptedRecord, asker: string, inputs: OpenInputs): Held => {
      const suffix = round === 1 ? '' : `.${round}`;
      const named = Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key + suffix, input]));
      return { kind: 'open', createdAt, accepted, asker, suffix, inputs: named };
    };
    for (; state.kind === 'ended' && endedByAsking(state.outcome) && round < MAX_ROUNDS; round++) {
      const { outcome } = state;
      let next = await this.commands.find(outcome.tenant_id, nextId(outcome.correlation_id));
      if (!next) {
        const answers = await this.#answers(outcome);
        const questions = Object.entries((outcome.result!['inputRequests'] ?? {}) as OpenInputs);
        const inputs = Object.fromEntries(questions.filter(([key]) => !Object.hasOwn(answers, key)));
        if (Object.keys(inputs).length > 0) {
          return open(nextRecord(outcome), outcome.correlation_id, inputs);
        }
        next = await this.#makeNext(outcome, answers);
      }
      if (!next) break;
      state = next;
    }
    if (state.kind === 'ended') return { kind: 'ended', createdAt, outcome: state.outcome };
    return open(state.accepted, state.accepted.correlation_id, state.inputs);
  }

  async #answers({ tenant_id, correlation_id }: Outcome): Promise<JsonObject> {
    const all = answerSubject(tenant_id, correlation_id, '*');
    const stored = await readSubject(this.jsm, STREAM.outcomes, all, 0);
    return Object.fromEntries(stored.map((message) => [inputKeyOf(message.subject), message.json<JsonObject>()]));
  }

  /** Makes the command that follows one that ended by asking; `undefined` when what was asked is forgotten. */
  async #makeNext(outcome: Outcome, answers: JsonObject): Promise<CommandState | undefined> {
    const before = await this.#envelope(outcome);
    if (!before) return undefined;
    const now = Date.now();
    const command: CommandEnvelope = {
      ...before,
      correlation_id: nextId(outcome.correlation_id),
      input_responses: answers,
      issued_at: new Date(now).toISOString(),
      deadline_at: new Date(now + before.deadline_ms).toISOString(),
    };
    const state = outcome.result!['requestState'];
    if (typeof state === 'string') command.request_state = state;
    else delete command.request_state;
    const principal = { tenantId: command.tenant_id, userId: command.user_id };
    this.admission.enter(principal, true);
    const submission = await this.commands.submit(command, { keep: true }).catch((error: unknown) => {
      this.admission.leave(principal);
      throw error;
    });
    void this.countUntilEnded(principal, submission);
    return { kind: 'open', accepted: acceptedRecord(command), inputs: {} };
  }

  async #envelope({ tenant_id: tenantId, correlation_id: correlationId, tool, method }: Outcome) {
    const last_by_subj = storedCommandSubjects({ tenantId, tool, method, correlationId });
    const message = await this.jsm.direct.getMessage(STREAM.commands, { last_by_subj });
    return message ? parseEnvelope(message.data) : undefined;
  }
}

function endedByAsking({ status, result }: Outcome): boolean {
  return status === 'succeeded' && result?.['resultType'] === 'input_required';
}

/** The id of the command that follows one that ended by asking. */
function nextId(correlationId: string): string {
  return `i_${createHash('sha256')
    .update(JSON.stringify(['next round', correlationId]))
    .digest('base64url')}`;
}

/** What is on record of a command that waits for answers to be made. Nobody waits for it longer than any command may take. */
function nextRecord(asked: Outcome): AcceptedRecord {
  const { tenant_id, user_id, tool, method, ended_at } = asked;
  return {
    correlation_id: nextId(asked.correlation_id),
    ...{ tenant_id, user_id, tool, method },
    ordering_key: '',
    issued_at: ended_at,
    deadline_at: new Date(Date.parse(ended_at) + LIMITS.maxDeadlineMs).toISOString(),
  };
}
