import { endedCommand, type Audit } from '@callboard/audit';
import {
  HEADER,
  JSON_CONTENT_TYPE,
  LIMITS,
  ERROR_CODES,
  commandFingerprint,
  deadlineSubject,
  outcomeSubject,
  type AcceptedRecord,
  type CommandEnvelope,
  type Outcome,
} from '@callboard/envelope';
import { headerLine, traceLines, type AckedPublisher } from './acked-publisher.js';

export type Ending = Pick<Outcome, 'status' | 'result' | 'error' | 'attempts'>;

/** What became of an attempt to end a command: `written` by us, or it had `ended` before. */
export type Written = 'written' | 'ended';

/** A command as those know it who end it: its envelope, or what is on record of it. */
export type Ended = CommandEnvelope | AcceptedRecord;

const UNFINISHED = new Set<Ending['status']>(['cancelled', 'deadline_exceeded']);

/** An outcome must not be given up: it is tried again for as long as the process lives and is meant to. */
const OUTCOME_TIMEOUT_MS = 3_600_000;

/**
 * Writes outcomes. The stream takes the first terminal fact about a command and refuses every later one, whoever writes it: that
 * is what makes it the arbiter between a runner that finished, a caller that cancelled and a deadline that fired.
 */
export class OutcomePublisher {
  constructor(
    private readonly publisher: AckedPublisher,
    private readonly instance: string,
    /** Is told of those that end without having been run to their end. */
    private readonly audit?: Audit,
  ) {}

  /** Resolves when the command has a durable outcome. */
  async publish(command: Ended, ending: Ending): Promise<Written> {
    const { subject, data } = this.#encode(command, ending);
    const first = await this.publisher.publishOnce(subject, data, outcomeHeaders(command), OUTCOME_TIMEOUT_MS);
    if (first && UNFINISHED.has(ending.status)) this.audit?.note(endedCommand(command, ending.status));
    return first ? 'written' : 'ended';
  }

  #encode(command: Ended, ending: Ending): { subject: string; data: Uint8Array } {
    const subject = outcomeSubject(command.tenant_id, command.correlation_id);
    const outcome: Outcome = {
      outcome_version: '1.0',
      correlation_id: command.correlation_id,
      tenant_id: command.tenant_id,
      user_id: command.user_id,
      tool: command.tool,
      method: command.method,
      ...ending,
      issued_at: command.issued_at,
      ended_at: new Date().toISOString(),
      written_by: this.instance,
    };
    const data = toBytes(outcome);
    if (data && data.byteLength <= LIMITS.outcomeBytes) return { subject, data };
    // The command has run: it ends all the same, and says why its result is not there.
    const [code, why] = data
      ? ([
          'payload_too_large',
          `the result has ${data.byteLength} bytes, at most ${LIMITS.outcomeBytes} can be kept`,
        ] as const)
      : (['action_failed', 'the result holds what JSON cannot'] as const);
    const { title, retryable } = ERROR_CODES[code];
    const error = { code, message: `${title}: ${why}`, retryable, correlation_id: command.correlation_id };
    return { subject, data: Buffer.from(JSON.stringify({ ...outcome, status: 'failed', result: undefined, error })) };
  }
}

function toBytes(outcome: Outcome): Buffer | undefined {
  try {
    return Buffer.from(JSON.stringify(outcome));
  } catch {
    return undefined;
  }
}

const OUTCOME_HEADERS =
  headerLine(HEADER.contentType, JSON_CONTENT_TYPE) + headerLine(HEADER.expectedLastSubjectSequence, '0');

/** The deadline goes with the outcome, in one step of the server: none can fire after it. */
function outcomeHeaders(command: Ended): string {
  let lines = OUTCOME_HEADERS + headerLine(HEADER.msgId, command.correlation_id);
  lines += headerLine(HEADER.scheduler, deadlineSubject(command.tenant_id, command.correlation_id)) + PURGE;
  if (!('args' in command))
    return command.fingerprint ? lines + headerLine(HEADER.fingerprint, command.fingerprint) : lines;
  if (command.idempotency_key !== undefined) lines += headerLine(HEADER.fingerprint, commandFingerprint(command));
  return lines + traceLines(command);
}

const PURGE = headerLine(HEADER.scheduleNext, 'purge');
