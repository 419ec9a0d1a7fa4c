/**
 * Follows the journals of one partition: first the last entry of each saga that there is, then every entry as it is stored. After a reconnect it begins
 * anew, so what was missed shows; whoever listens must not mind hearing an entry twice.
 */
import { HEADER } from '@callboard/envelope';
import { LastOfSubjects, STREAM } from '@callboard/jetstream';
import type { JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

export interface FedEntry {
  /** As stored. */
  subject: string;
  sequence: number;
  data: Uint8Array;
  /** ISO 8601. */
  storedAt: string;
  /** Of the saga after this entry; empty for the command that asks for one. */
  phase: string;
  declared: boolean;
  /** Was it there before this feed was opened? */
  old: boolean;
}

/** @param onCaughtUp called whenever all that was there has been told. */
export function sagaFeed(
  nc: NatsConnection,
  subjects: string,
  onEntry: (entry: FedEntry) => void,
  onCaughtUp: () => void,
  onError: (error: unknown) => void,
): LastOfSubjects {
  const newPass = () => ({
    message: (message: JsMsg, old: boolean) => onEntry(read(message, old)),
    caughtUp: onCaughtUp,
  });
  return new LastOfSubjects(nc, STREAM.sagas, subjects, newPass, onError);
}

function read(message: JsMsg, old: boolean): FedEntry {
  const { headers } = message;
  return {
    subject: message.subject,
    sequence: message.seq,
    data: message.data,
    storedAt: message.timestamp,
    phase: headers?.get(HEADER.sagaPhase) ?? '',
    declared: headers?.has(HEADER.sagaDefinition) ?? false,
    old,
  };
}
