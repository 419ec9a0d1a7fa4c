/**
 * What the caller of a declared saga hears of it. The saga's command is the caller's handle: its progress, its questions and its one outcome are
 * where those of every command are, so tasks, `callboard.result`, cancelling and coming back work as they do for any call.
 */
import {
  CallboardError,
  type CommandEnvelope,
  type InputRequest,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import {
  acceptedRecord,
  type CommandClient,
  type Ending,
  type InputExchange,
  type ProgressLog,
} from '@callboard/jetstream';
import { isEnded, type ApprovalEffect, type SagaFact, type SagaState, type StepDefinition } from '@callboard/saga';

export interface CallerChannels {
  commands: CommandClient;
  inputs: InputExchange;
  progress: ProgressLog;
}

export interface Answer {
  approved: boolean;
  comment?: string;
}

/** A caller that does not want to hear is told all the same, for whoever asks later, once the saga has run this long. */
const TELL_AFTER_MS = 1_000;

export class SagaCaller {
  #said: Promise<void> = Promise.resolve();
  #told = 0;
  readonly #release: () => void;

  /** @param onEnded hears when somebody else ends the saga's command: its caller cancelled it, or its deadline has passed. */
  constructor(
    private readonly command: CommandEnvelope,
    private readonly channels: CallerChannels,
    young: boolean,
    onEnded: (outcome: Outcome) => void,
  ) {
    const { outcome, release } = channels.commands.watch(acceptedRecord(command), { young });
    outcome.then(onEnded, () => undefined);
    this.#release = release;
  }

  get userId(): string {
    return this.command.user_id;
  }

  /** Tells of what became true. Who does not want to hear is not told of what ends the saga: the outcome would have to wait for it. */
  tell(facts: readonly SagaFact[], after: SagaState): void {
    const { started_at, definition } = after;
    const isYoung = Date.now() - Date.parse(started_at) < TELL_AFTER_MS;
    if (!this.command.accept_partials && (isYoung || isEnded(after))) return;
    const total = definition ? countSteps(definition.steps) : undefined;
    for (const fact of facts) {
      const message = sentenceOf(fact);
      if (message === undefined) continue;
      const n = ++this.#told;
      const progress: Progress = {
        kind: 'progress',
        correlation_id: this.command.correlation_id,
        attempt: 1,
        progress: n,
        ...(total !== undefined && n <= total && { total }),
        message,
      };
      // One after the other: what is sent again could otherwise be stored after what followed it.
      this.#said = this.#said
        .then(() => this.channels.progress.publish(this.command, progress, n))
        .catch(() => undefined);
    }
  }

  /** Asks the caller to approve, where it can be asked. `answered` may never be called: the caller may go away. */
  ask({ id, prompt }: ApprovalEffect, answered: (answer: Answer) => void): (how: 'answered' | 'left') => void {
    if (!this.command.input_capabilities?.includes('elicitation')) return () => undefined;
    const stop = new AbortController();
    const request: InputRequest = {
      method: 'elicitation/create',
      params: {
        message: prompt,
        requestedSchema: {
          type: 'object',
          properties: { approve: { type: 'boolean', title: 'Approve' }, comment: { type: 'string', title: 'Comment' } },
          required: ['approve'],
        },
      },
    };
    void this.channels.inputs
      .ask(this.command, id, request)
      .then(() => this.channels.inputs.answer(this.command, id, stop.signal))
      .then((answer) => {
        const read = readAnswer(answer);
        if (read) answered(read);
      })
      .catch(() => undefined);
    return (how) => {
      stop.abort();
      // Somebody else has answered: the caller is not asked any more.
      const { tenant_id, correlation_id } = this.command;
      if (how === 'answered') {
        this.channels.commands.answer(tenant_id, correlation_id, id, { action: 'cancel' }).catch(() => undefined);
      }
    };
  }

  /** Resolves when the saga's command has a durable outcome. */
  async end(state: SagaState): Promise<void> {
    await this.#said;
    await this.channels.commands.outcomes.publish(this.command, endingOf(state));
  }

  /** Nothing is heard for the caller any more. */
  release(): void {
    this.#release();
  }
}

/** What the caller of a saga that has ended is told. */
export function endingOf({ phase, output, stopped, left }: SagaState): Ending {
  if (phase === 'succeeded') {
    const structuredContent = output ?? {};
    const text = JSON.stringify(structuredContent);
    return { status: 'succeeded', result: { content: [{ type: 'text', text }], structuredContent }, attempts: 1 };
  }
  const error = new CallboardError(
    phase === 'compensated' ? 'saga_compensated' : 'saga_failed',
    `${phase === 'compensated' ? 'The saga did not succeed, and what it had done is undone' : `The saga did not succeed, and ${left.length} of its steps are not undone`}: ${reasonOf(stopped)}`,
  );
  return { status: 'failed', error: error.toBody(), attempts: 1 };
}

function reasonOf(reason: SagaState['stopped']): string {
  switch (reason?.kind) {
    case 'step_failed':
      return `the step ${reason.step} ended ${reason.status}${reason.error ? ` (${reason.error.code})` : ''}`;
    case 'rejected':
      return `the step ${reason.step} was rejected`;
    case 'aborted':
      return 'it was aborted';
    case 'deadline_exceeded':
      return 'its deadline passed';
    case 'output_failed':
      return 'its output could not be worked out';
    case undefined:
      return 'for no reason that is on record';
  }
}

function sentenceOf(fact: SagaFact): string | undefined {
  switch (fact.fact) {
    case 'step_ended':
      return `${fact.step}: ${fact.status}`;
    case 'retry_scheduled':
      return `${fact.step}: ${fact.status}, to be tried again`;
    case 'approval_requested':
      return `${fact.step}: waits for approval`;
    case 'approval_given':
      return `${fact.step}: ${fact.approved ? 'approved' : 'rejected'}`;
    case 'compensation_ended':
      return fact.status === 'succeeded'
        ? `${fact.step}: undone`
        : `${fact.step}: could not be undone, an operator is called`;
    default:
      return undefined;
  }
}

/** A caller that says neither yes nor no leaves it to others. */
function readAnswer(answer: JsonObject): Answer | undefined {
  const { action, content } = answer as { action?: unknown; content?: { approve?: unknown; comment?: unknown } };
  if (action === 'decline') return { approved: false };
  if (action !== 'accept' || typeof content?.approve !== 'boolean') return undefined;
  return { approved: content.approve, ...(typeof content.comment === 'string' && { comment: content.comment }) };
}

function countSteps(steps: readonly StepDefinition[]): number {
  return steps.reduce((sum, step) => {
    if (step.kind === 'parallel') return sum + step.branches.reduce((all, branch) => all + countSteps(branch), 0);
    return sum + 1 + (step.kind === 'saga' ? countSteps(step.steps) : 0);
  }, 0);
}
