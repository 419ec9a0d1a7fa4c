/**
 * Sagas whose steps are calls. A call that carries a `saga_id` joins the saga of that name before its command is stored: the saga knows of a step
 * before it can have any effect, so what is done is undone whoever dies in between. The first call begins the saga.
 *
 * A saga belongs to the principal whose call began it; to everybody else there is none of that name. A call that has joined and whose command
 * could not be stored is cancelled, which ends the saga: nobody can tell it that the step will never come.
 */
import type { Principal } from '@callboard/access';
import { checkArguments } from '@callboard/actions';
import {
  CallboardError,
  LIVE_PREFIX,
  actionId,
  storedSagaSubjects,
  type CommandEnvelope,
  type JsonObject,
} from '@callboard/envelope';
import { AckedPublisher, onConnectionChange } from '@callboard/jetstream';
import { isEnded, sagaMermaid, type SagaFact, type SagaInput, type SagaState } from '@callboard/saga';
import { SagaJournal, describeSaga, type SagaRecord } from '@callboard/saga-journal';
import type { NatsConnection } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';
import type { Invocation } from '../call.js';
import { SAGA_RESOURCE, SAGA_TOOLS, sagaIdOf, waitOf, type SagaArguments } from './saga-tools.js';

const TIMEOUT_MS = 15_000;
const LOOK_AGAIN_MS = 2_000;
/** What a step may be called: as in a definition, and what `saga_step` is when it is not said. */
const STEP = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export class SagaDesk {
  private constructor(
    private readonly nc: NatsConnection,
    private readonly journal: SagaJournal,
    private readonly callSagaDeadlineMs: number,
  ) {}

  /** @param callSagaDeadlineMs how long a saga of calls may take that nobody completes; then what was done is undone */
  static async open(nc: NatsConnection, callSagaDeadlineMs: number): Promise<SagaDesk> {
    return new SagaDesk(nc, await SagaJournal.open(nc, new AckedPublisher(nc)), callSagaDeadlineMs);
  }

  /**
   * Resolves when the saga of a command knows of it.
   * @throws CallboardError `saga_ended`, `not_found` for another's saga, `invalid_messaging_field`, `overloaded`, `unavailable`
   */
  async join(command: CommandEnvelope): Promise<void> {
    const { tenant_id, saga_id, user_id } = command;
    const step = command.saga_step ?? actionId(command);
    if (!STEP.test(step)) {
      throw new CallboardError(
        'invalid_messaging_field',
        'io.callboard/saga_step must be letters, digits and . _ - only',
      );
    }
    const { saga } = await this.journal.tell(
      tenant_id,
      saga_id!,
      (found) => {
        if (found.sequence > 0) checkOwner(found, user_id);
        if (hasJoined(found.state, command.correlation_id)) return [];
        if (found.command || (found.sequence > 0 && (found.state.phase !== 'running' || found.state.complete))) {
          throw new CallboardError('saga_ended', undefined, { correlationId: command.correlation_id });
        }
        return inputsOf(command, step, found.sequence === 0 ? this.callSagaDeadlineMs : undefined);
      },
      TIMEOUT_MS,
    );
    if (hasJoined(saga.state, command.correlation_id)) return;
    throw new CallboardError('overloaded', 'The saga has as many steps as one may have', {
      correlationId: command.correlation_id,
    });
  }

  /** Serves the tools of sagas, and a saga as a resource. */
  async serve({ action, args, principal }: Invocation): Promise<JsonObject> {
    checkArguments(action, args);
    if (action === SAGA_RESOURCE) return this.#readResource(args as { uri: string }, principal);
    const asked = args as JsonObject & SagaArguments;
    const { saga_id, reason } = asked;
    const { tenantId, userId: by } = principal;
    const tell = async (input: SagaInput) => {
      await this.journal.tell(
        tenantId,
        saga_id,
        (saga) => {
          checkOwner(saga, by);
          if (input.kind === 'complete' && saga.command) {
            throw new CallboardError('invalid_request', 'A declared saga completes itself');
          }
          return [input];
        },
        TIMEOUT_MS,
      );
    };
    const at = new Date().toISOString();
    if (action === SAGA_TOOLS.complete) await tell({ kind: 'complete', at, by });
    if (action === SAGA_TOOLS.abort) await tell({ kind: 'abort', at, by, ...(reason !== undefined && { reason }) });
    const structuredContent = { ...describeSaga(await this.#untilEnded(tenantId, saga_id, by, waitOf(asked))) };
    return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent };
  }

  /** What became of it is told by name, without arguments and results, as by the tools. */
  async #readResource({ uri }: { uri: string }, { tenantId, userId }: Principal): Promise<JsonObject> {
    const sagaId = sagaIdOf(uri);
    if (sagaId === undefined) throw noSuchSaga();
    const saga = await this.journal.read(tenantId, sagaId);
    checkOwner(saga, userId);
    const entries = await this.journal.entries(tenantId, sagaId);
    const facts = entries.filter(({ sequence }) => sequence <= saga.sequence).flatMap((entry) => entry.facts.map(told));
    const { definition } = saga.state;
    const text = JSON.stringify({ ...describeSaga(saga), facts });
    const chart = definition && { uri, mimeType: 'text/vnd.mermaid', text: sagaMermaid(definition, saga.state) };
    return { contents: [{ uri, mimeType: 'application/json', text }, ...(chart ? [chart] : [])] };
  }

  /**
   * Calls back once there is a saga of this URI that is the principal's, and whenever that has changed: too often rather than too little. It
   * is never called for another's saga, as for none. Returns a function that ends it.
   */
  watch({ tenantId, userId }: Principal, uri: string, onUpdated: () => void): () => void {
    const sagaId = sagaIdOf(uri);
    if (sagaId === undefined) return () => undefined;
    let ended = false;
    // Not known while there is none.
    let isOurs: boolean | undefined;
    const look = async (isThere: boolean): Promise<void> => {
      while (!ended) {
        const saga = await this.journal.read(tenantId, sagaId).catch(() => undefined);
        if (ended) return;
        // A replica may be behind what was republished.
        if (saga && (saga.sequence > 0 || !isThere)) {
          if (saga.sequence > 0) isOurs = isOf(saga, userId);
          if (isOurs) onUpdated();
          return;
        }
        await delay(LOOK_AGAIN_MS, undefined, { ref: false });
      }
    };
    const news = this.nc.subscribe(`${LIVE_PREFIX}.${storedSagaSubjects(tenantId, sagaId)}`, {
      callback: (error) => {
        if (isOurs && !error) onUpdated();
        else if (isOurs === undefined && !error) void look(true);
      },
    });
    // What is republished may be missed meanwhile.
    const forget = onConnectionChange(this.nc, (change) => {
      if (change === 'connected') void look(false);
    });
    void look(false);
    return () => {
      ended = true;
      forget();
      news.unsubscribe();
    };
  }

  /** The saga when it has ended, or as it is when the wait is over. What is republished says when to look; it may be missed. */
  async #untilEnded(tenantId: string, sagaId: string, by: string, waitMs: number): Promise<SagaRecord> {
    const until = Date.now() + waitMs;
    let wake: () => void = () => undefined;
    const news = this.nc.subscribe(`${LIVE_PREFIX}.${storedSagaSubjects(tenantId, sagaId)}`, {
      callback: () => wake(),
    });
    try {
      for (;;) {
        // Before looking: what comes while we look is news too.
        const next = new Promise<void>((resolve) => (wake = resolve));
        const saga = await this.journal.read(tenantId, sagaId);
        checkOwner(saga, by);
        const left = until - Date.now();
        if (isEnded(saga.state) || left <= 0) return saga;
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.min(left, LOOK_AGAIN_MS))));
        await Promise.race([next, late]);
        clearTimeout(timer);
      }
    } finally {
      news.unsubscribe();
    }
  }
}

/** @throws CallboardError `not_found`: whose saga it is is nobody else's business */
function checkOwner(saga: SagaRecord, userId: string): void {
  if (!isOf(saga, userId)) throw noSuchSaga();
}

function isOf({ state, command }: SagaRecord, userId: string): boolean {
  return (state.user_id || command?.user_id) === userId;
}

/** A fact without what it carries. */
function told(fact: SagaFact): JsonObject {
  return {
    fact: fact.fact,
    at: fact.at,
    ...('step' in fact && { step: fact.step }),
    ...('status' in fact && { status: fact.status }),
  };
}

function noSuchSaga(): CallboardError {
  return new CallboardError('not_found', 'You have no saga of that name');
}

function hasJoined({ steps }: SagaState, correlationId: string): boolean {
  return Object.values(steps).some(({ command }) => command?.correlation_id === correlationId);
}

/** @param deadlineMs of the saga, where the command is the first of it */
function inputsOf(command: CommandEnvelope, step: string, deadlineMs: number | undefined): SagaInput[] {
  const { saga_id, tenant_id, user_id, groups, caller } = command;
  const { correlation_id, tool, method, ordering_key, compensation } = command;
  const at = new Date().toISOString();
  const join: SagaInput = {
    kind: 'join',
    at,
    step,
    correlation_id,
    action: { tool, method },
    ordering_key,
    ...(compensation && { compensation }),
    ...(caller && { sent_by: { groups: groups ?? [], caller } }),
  };
  if (deadlineMs === undefined) return [join];
  const start: SagaInput = {
    kind: 'start',
    at,
    saga_id: saga_id!,
    tenant_id,
    user_id,
    ...(groups && { groups }),
    deadline_at: new Date(Date.parse(at) + deadlineMs).toISOString(),
  };
  return [start, join];
}
