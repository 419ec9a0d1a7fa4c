/** What of a tenant has not ended: its commands, and its sagas. */
import { outcomeSubject, parseEnvelope, parseStoredCommandSubject, type CommandEnvelope } from '@callboard/envelope';
import {
  AckedPublisher,
  CommandClient,
  LOOKUP_MOST,
  STREAM,
  messagesAt,
  storedAmong,
  tenantPlaces,
} from '@callboard/jetstream';
import type { Audit } from '@callboard/audit';
import { isEnded } from '@callboard/saga';
import { SagaJournal, listSagas } from '@callboard/saga-journal';
import { jetstreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

export interface OpenWork {
  /** The first ones, by their correlation ids, with what was asked for where that can be read. */
  commands: Map<string, CommandEnvelope | undefined>;
  /** Ids. */
  sagas: string[];
}

/** Of each kind; there may be more. */
const MOST = 1_000;
const TIMEOUT_MS = 10_000;

/** @param upTo of COMMANDS: what was stored later is not looked at */
export async function openWork(nc: NatsConnection, tenantId: string, upTo: number): Promise<OpenWork> {
  return { commands: await openCommands(nc, tenantId, upTo), sagas: await openSagas(nc, tenantId) };
}

async function openCommands(nc: NatsConnection, tenantId: string, upTo: number): Promise<OpenWork['commands']> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const { subjects } = tenantPlaces(tenantId).find(({ stream }) => stream === STREAM.commands)!;
  const open: OpenWork['commands'] = new Map();
  let some: StoredMsg[] = [];
  const look = async () => {
    const outcomes = some.map(({ subject }) => outcomeSubject(tenantId, idIn(subject)));
    const ended = some.length > 0 ? await storedAmong(nc, outcomes, jsm) : new Set();
    some.forEach((message, i) => {
      if (!ended.has(outcomes[i]!)) open.set(idIn(message.subject), readable(message));
    });
    some = [];
  };
  for await (const message of messagesAt(jsm, STREAM.commands, subjects[0]!, { batch: LOOKUP_MOST })) {
    if (message.seq > upTo) break;
    some.push(message);
    if (some.length === LOOKUP_MOST) await look();
    if (open.size >= MOST) return open;
  }
  await look();
  return open;
}

async function openSagas(nc: NatsConnection, tenantId: string): Promise<string[]> {
  const sagas = await listSagas(nc, tenantId);
  const open = sagas.filter(({ phase }) => !ENDED.has(phase)).slice(0, MOST);
  // Asked for, and cancelled or refused before it began.
  const ended = new Set<string>();
  for (let from = 0; from < open.length; from += LOOKUP_MOST) {
    const subjects = open.slice(from, from + LOOKUP_MOST).map(({ saga_id: id }) => outcomeSubject(tenantId, id));
    for (const subject of await storedAmong(nc, subjects)) ended.add(subject);
  }
  return open
    .filter(({ phase, saga_id: id }) => phase !== 'requested' || !ended.has(outcomeSubject(tenantId, id)))
    .map(({ saga_id: id }) => id);
}

/**
 * Stops what is open: sagas undo what they did, and end those of their commands that have to; other commands are cancelled. Resolves when all of it was
 * told; it may take longer to end.
 */
export async function stopWork(nc: NatsConnection, audit: Audit, tenantId: string, work: OpenWork): Promise<void> {
  const publisher = new AckedPublisher(nc);
  const commands = await CommandClient.start(nc, { instance: 'callboard tenants erase', audit });
  try {
    const journal = await SagaJournal.open(nc, publisher);
    const why = { at: new Date().toISOString(), by: 'operator', reason: 'the tenant is erased' };
    for (const id of work.sagas) {
      const { saga } = await journal.tell(
        tenantId,
        id,
        ({ state }) =>
          state.phase === 'halted'
            ? [{ kind: 'operator', verb: 'abort', ...why }]
            : state.phase === 'absent' || isEnded(state)
              ? []
              : [{ kind: 'abort', ...why }],
        TIMEOUT_MS,
      );
      if (saga.state.phase === 'absent' && saga.command) await commands.cancel(saga.command);
    }
    for (const command of work.commands.values()) {
      if (command && command.saga_id === undefined) await commands.cancel(command);
    }
  } finally {
    commands.close();
    publisher.close();
  }
}

const ENDED = new Set(['succeeded', 'compensated', 'failed']);

function idIn(subject: string): string {
  return parseStoredCommandSubject(subject).correlationId;
}

function readable(message: StoredMsg): CommandEnvelope | undefined {
  try {
    return parseEnvelope(message.json());
  } catch {
    return undefined;
  }
}
